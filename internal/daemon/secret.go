package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"regwarden/internal/config"
)

// credentialsDirectory is where systemd puts a service's credentials; "" for everybody else.
func credentialsDirectory() string { return os.Getenv("CREDENTIALS_DIRECTORY") }

// onlyForService says that this process cannot read the secret because it is not the service.
func onlyForService(w config.Webhook) bool {
	return strings.HasPrefix(w.SecretFile, config.CredentialPrefix) && credentialsDirectory() == ""
}

// webhookSecret is the secret of a webhook.
func webhookSecret(w config.Webhook) (string, error) { return secretOf(w.Secret, w.SecretFile) }

// secretOf is the secret as the configuration has it, or as its file has it without the end of the line.
func secretOf(secret, path string) (string, error) {
	if path == "" {
		return secret, nil
	}
	if name, ok := strings.CutPrefix(path, config.CredentialPrefix); ok {
		if credentialsDirectory() == "" {
			return "", errors.New("systemd has given this process no credentials")
		}
		path = filepath.Join(credentialsDirectory(), name)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret = strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}
