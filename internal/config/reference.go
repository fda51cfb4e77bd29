package config

import _ "embed"

// Reference is reference.toml: every key with its default and a comment.
//
//go:embed reference.toml
var Reference []byte
