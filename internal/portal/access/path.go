package access

// CheckPath is nil if a text is the path of a project as registries write it: lower case components of letters, digits and single
// separators, with / between them, 255 bytes at most. Nothing else is ever asked for, so that no path can mean something to a URL.
func CheckPath(project string) error { panic("not yet") }
