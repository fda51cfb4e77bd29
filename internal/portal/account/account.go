// Package account is a signed-in person as the portal's rooms hand it around: who it is by the word of a login provider, and the secret that
// asks that provider more. It decides nothing.
package account

// User is who somebody is. It is a value and is not changed after the login.
type User struct {
	Subject  string   // what the provider calls the person for ever; a quota, a challenge and the audit log are bound to it
	Username string   // what the person is called in the provider; others may get it later
	Name     string   // what people read; free text that the person chose
	Groups   []string // values of the groups claim or header; always empty for GitLab, whose claims are frozen at login and know no projects
	Token    Secret   // asks GitLab's API as this person; empty with other providers
}
