package format_test

import (
	"testing"

	"regwarden/detector"
	"regwarden/sources/format"
)

func TestSSHD(t *testing.T) {
	for _, c := range []struct {
		message string
		status  int // 0 for noise
		class   string
		user    string
		client  string
		weight  int
	}{
		{"Failed password for invalid user admin from 192.0.2.7 port 49608 ssh2", 401, "Failed password", "admin", "192.0.2.7", 1},
		{"Failed password for root from 2001:db8::7 port 49608 ssh2", 401, "Failed password", "root", "2001:db8::7", 1},
		{"Failed password for invalid user  from 192.0.2.7 port 49608 ssh2", 401, "Failed password", "", "192.0.2.7", 1},
		{"Failed keyboard-interactive/pam for bad user from ::ffff:192.0.2.7 port 22 ssh2", 401, "Failed keyboard-interactive/pam", "bad user", "192.0.2.7", 1},
		{"Failed publickey for git from 192.0.2.7 port 22 ssh2: ED25519 SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 401, "Failed publickey", "git", "192.0.2.7", 1},
		{"Failed publickey for git from 192.0.2.7 port 22 ssh2: ED25519-CERT SHA256:AAAA ID mine (serial 0) CA ED25519 SHA256:BBBB", 401, "Failed publickey", "git", "192.0.2.7", 1},
		{"Accepted password for labuser from 192.0.2.7 port 49628 ssh2", 200, "Accepted password", "labuser", "192.0.2.7", 1},
		{"Accepted publickey for git from 192.0.2.7 port 22 ssh2: RSA SHA256:AAAA", 200, "Accepted publickey", "git", "192.0.2.7", 1},
		{"Invalid user admin from 192.0.2.7 port 49608", 404, "Invalid user", "admin", "192.0.2.7", 1},
		{"Invalid user admin from 192.0.2.7", 404, "Invalid user", "admin", "192.0.2.7", 1},
		{"Invalid user  from 192.0.2.7 port 49608", 404, "Invalid user", "", "192.0.2.7", 1},
		{"Connection closed by authenticating user root 192.0.2.7 port 49592 [preauth]", 499, "Connection closed", "root", "192.0.2.7", 1},
		{"Connection reset by invalid user bad user 192.0.2.7 port 49592 [preauth]", 499, "Connection reset", "bad user", "192.0.2.7", 1},
		{"Disconnected from invalid user admin 192.0.2.7 port 49592 [preauth]", 499, "Disconnected", "admin", "192.0.2.7", 1},
		{"Disconnecting authenticating user root 192.0.2.7 port 49638: Too many authentication failures [preauth]", 499, "Disconnecting", "root", "192.0.2.7", 1},
		{"Disconnecting invalid user a 192.0.2.7 port 49638: Change of username or service not allowed: (a,ssh-connection) -> (b,ssh-connection) [preauth]", 499, "Disconnecting", "a", "192.0.2.7", 1},
		{"Unable to negotiate with 192.0.2.7 port 49642: no matching key exchange method found. Their offer: x [preauth]", 400, "Unable to negotiate", "", "192.0.2.7", 1},
		{"banner exchange: Connection from 192.0.2.7 port 49648: invalid format", 400, "banner exchange", "", "192.0.2.7", 1},
		{"Bad protocol version identification 'GET / HTTP/1.1' from 192.0.2.7 port 49648", 400, "Bad protocol version identification", "", "192.0.2.7", 1},
		{"Did not receive identification string from 192.0.2.7 port 49648", 400, "Did not receive identification string", "", "192.0.2.7", 1},
		{"message repeated 2 times: [ Failed password for root from 192.0.2.7 port 42450 ssh2]", 401, "Failed password", "root", "192.0.2.7", 2},
		{"message repeated 99999 times: [ Failed password for root from 192.0.2.7 port 42450 ssh2]", 401, "Failed password", "root", "192.0.2.7", 10000},
		{"error: maximum authentication attempts exceeded for root from 192.0.2.7 port 49638 ssh2 [preauth]", 0, "", "", "", 1},
		{"Server listening on 192.0.2.7 port 2222.", 0, "", "", "", 1},
		{"Received disconnect from 192.0.2.7 port 49628:11: disconnected by user", 0, "", "", "", 1},
		{"Disconnected from user labuser 192.0.2.7 port 49628", 0, "", "", "", 1},
		{"Connection closed by 192.0.2.7 port 49664 [preauth]", 0, "", "", "", 1},
		{"drop connection #3 from [192.0.2.7]:46256 on [127.0.0.1]:2222 past MaxStartups", 0, "", "", "", 1},
		{"pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=root", 0, "", "", "", 1},

		// A user name that looks like the rest of a message.
		{"Failed password for invalid user x from 203.0.113.9 port 22 ssh2 from 192.0.2.7 port 42452 ssh2", 401, "Failed password", "x from 203.0.113.9 port 22 ssh2", "192.0.2.7", 1},
		{"Failed password for invalid user x from 203.0.113.9 port 22 ssh2: y from 192.0.2.7 port 42452 ssh2", 401, "Failed password", "x from 203.0.113.9 port 22 ssh2: y", "192.0.2.7", 1},
		{"Connection closed by invalid user x from 203.0.113.9 port 22 ssh2 192.0.2.7 port 42452 [preauth]", 499, "Connection closed", "x from 203.0.113.9 port 22 ssh2", "192.0.2.7", 1},
		{"Connection closed by invalid user x 203.0.113.9 port 22 [preauth] 192.0.2.7 port 42452 [preauth]", 499, "Connection closed", "x 203.0.113.9 port 22 [preauth]", "192.0.2.7", 1},
		{"Invalid user x from 203.0.113.9 port 22 from 192.0.2.7 port 42452", 404, "Invalid user", "x from 203.0.113.9 port 22", "192.0.2.7", 1},
		{"Disconnecting invalid user x 203.0.113.9 port 22: Too many authentication failures 192.0.2.7 port 1: Too many authentication failures [preauth]", 499, "Disconnecting", "x 203.0.113.9 port 22: Too many authentication failures", "192.0.2.7", 1},
		{"Disconnecting invalid user x 203.0.113.9 port 22: Too many 192.0.2.7 port 1: Change of username or service not allowed: (x) -> (y) [preauth]", 499, "Disconnecting", "x", "", 1},
		// A certificate's ID that looks like the rest of a message, and a user name with a certificate.
		{"Failed publickey for git from 192.0.2.7 port 22 ssh2: ED25519-CERT SHA256:AAAA ID y from 203.0.113.9 port 22 ssh2: RSA SHA256:BBBB (serial 0) CA ED25519 SHA256:CCCC", 401, "Failed publickey", "git", "", 1},
		{"Bad protocol version identification 'x' from 203.0.113.9 port 1' from 192.0.2.7 port 49648", 400, "Bad protocol version identification", "", "192.0.2.7", 1},
		{"Failed password for x from example.org port 22 ssh2", 401, "Failed password", "x", "", 1},
	} {
		want := detector.Event{Kind: detector.KindSSH, Weight: c.weight, Time: at("2026-11-21T18:12:17.124036Z")}
		verdict := format.Noise
		if c.status != 0 {
			verdict = format.Parsed
			want.Operation, want.Status, want.Message, want.User = detector.OpLogin, c.status, c.class, c.user
			if c.client != "" {
				want.Client = ip(c.client)
			}
		}
		for _, header := range []string{
			"2026-11-21T18:12:17.124036+00:00 vm sshd[26858]: ",
			"<38>1 2026-11-21T19:12:17.124036+01:00 vm sshd-session 26858 - -  ",
		} {
			t.Run(header+c.message, lineCase{line: header + c.message, verdict: verdict, dialect: "sshd", wrapper: "syslog", want: want}.run)
		}
		want.Time = noTime
		t.Run(c.message, lineCase{line: c.message, options: format.Options{Name: "sshd"}, verdict: verdict, dialect: "sshd", want: want}.run)
	}
}

func TestOtherSyslogProgramsAreForeign(t *testing.T) {
	for _, line := range []string{
		"Nov 21 18:12:17 vm CRON[12]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
		"Nov 21 18:12:17 vm sudo:   bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
		"Nov 21 18:12:17 vm last message repeated 2 times",
		"2026-11-21T18:12:17.124036+00:00 vm kernel: [12.3] Failed password for root from 203.0.113.9 port 1 ssh2",
		"Nov 21 18:12:17 vm logger: sshd[1]: Failed password for root from 203.0.113.9 port 1 ssh2",
	} {
		for _, name := range []string{"auto", "sshd"} {
			if e, got := read(t, format.Options{Name: name}, line); got != format.Foreign && got != format.Noise || e.Client.IsValid() {
				t.Errorf("%s: want foreign, got %v for %s", name, got, line)
			}
		}
	}
	if _, got := read(t, format.Options{}, "Failed password for root from 203.0.113.9 port 1 ssh2"); got != format.Unparsed {
		t.Errorf("a message of no program: want unparsed, got %v", got)
	}
}
