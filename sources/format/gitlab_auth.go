package format

import (
	"net/netip"
	"strings"

	"regwarden/detector"
)

// The messages of auth.log and auth_json.log that say something, and those of application_json.log about logins.
const (
	rackAttack       = "Rack_Attack"
	rateLimitBlock   = "Rate_Limit_Block"
	jwtFailed        = "JWT authentication failed"
	registryDenied   = "Denied container registry permissions"
	applicationLimit = "Application_Rate_Limiter_Request"
	failedLogin      = "Failed Login: "
)

// isAuth knows what GitLab's JSON logger writes. Everything in these logs has a severity; the messages are for lines
// that some shipper has stripped.
func isAuth(rec *record) bool {
	if rec.has(keySeverity) {
		return true
	}
	m := rec.text(keyMessage)
	return strings.HasPrefix(m, rackAttack) || m == rateLimitBlock || m == jwtFailed || m == registryDenied || m == applicationLimit
}

// readAuth reads a row of auth.log, auth_json.log or application_json.log.
func (r *Reader) readAuth(e *detector.Event) Verdict {
	rec := &r.record
	if !isAuth(rec) {
		return Unparsed
	}
	e.Message = rec.text(keyMessage)
	e.Time = timestamp(rec.text(keyTime))
	e.Client = authClient(rec)
	e.Method = rec.either(keyRequestMethod, keyMethod)
	e.User = rec.either(keyUsername, keyMetaUser)
	e.Project = rec.text(keyMetaProject)
	e.Status = rec.status(keyStatus)
	e.UserAgent = rec.either(keyUA, keyUserAgent)
	if uri := rec.either(keyPath, keyFullPath); uri != "" {
		classify(e.Method, uri, &r.scratch).set(e)
	}
	switch {
	case strings.HasPrefix(e.Message, rackAttack):
		r.rackAttack(e)
	case e.Message == rateLimitBlock:
		r.rateLimitBlock(e)
	case e.Message == jwtFailed:
		e.Operation, e.Status, e.Error = detector.OpToken, 401, e.Message
		e.User = rec.text(keyHTTPUser)
	case e.Message == registryDenied:
		e.Operation = detector.OpToken
		e.Project = rec.text(keyRequestedProject)
	case e.Message == applicationLimit:
		e.Throttle, e.ThrottleEnv = rec.text(keyEnv), "application"
		e.Status = orStatus(e.Status, 429)
	case strings.HasPrefix(e.Message, failedLogin):
		r.failedLogin(e)
	default:
		return Noise
	}
	return Parsed
}

// authClient returns the address under its name of today or of old. The meta field is left out: these rows carry it for other
// purposes, and the one that matters is written beside the message.
func authClient(rec *record) netip.Addr { return rec.client(keyRemoteIP, keyIP) }

// failedLogin reads "Failed Login: username=NAME ip=ADDRESS" of application_json.log. The name is the client's to choose, so the
// address is the one that the log has beside the message, or else the last one in it.
func (r *Reader) failedLogin(e *detector.Event) {
	name, ip := cutFailedLogin(e.Message)
	e.User, e.Operation, e.Status, e.Error = name, detector.OpLogin, 401, loginFailed
	e.Message = strings.TrimSuffix(failedLogin, ": ")
	rec := &r.record
	switch {
	case rec.filled(keyRemoteIP), rec.filled(keyIP):
	case rec.filled(keyMetaRemoteIP):
		e.Client = rec.client(keyMetaRemoteIP)
	default:
		e.Client = address(ip)
	}
}

func cutFailedLogin(message string) (name, ip string) {
	rest := strings.TrimPrefix(message, failedLogin)
	i := strings.LastIndex(rest, " ip=")
	if i < 0 {
		return "", ""
	}
	return strings.TrimPrefix(rest[:i], "username="), rest[i+len(" ip="):]
}

// readAuthText reads what GitLab wrote before its logs were JSON:
//
//	2020-04-09T14:04:00.667Z: Failed Login: username=NAME ip=ADDRESS
//	IP ADDRESS failed to login as NAME but has been temporarily banned from Git auth
func (r *Reader) readAuthText(line string, e *detector.Event) Verdict {
	if rest, ok := strings.CutPrefix(line, "IP "); ok {
		return readBanned(rest, e)
	}
	at, end := rfc3339(line)
	if end == 0 {
		return Unparsed
	}
	message, ok := strings.CutPrefix(line[end:], ": ")
	if !ok {
		return Unparsed
	}
	if !strings.HasPrefix(message, failedLogin) {
		return Noise
	}
	name, ip := cutFailedLogin(message)
	e.Time, e.Client, e.User = at, address(ip), name
	e.Operation, e.Status, e.Error = detector.OpLogin, 401, loginFailed
	e.Message = strings.TrimSuffix(failedLogin, ": ")
	return Parsed
}

func readBanned(rest string, e *detector.Event) Verdict {
	ip, rest, _ := strings.Cut(rest, " ")
	name, ok := strings.CutPrefix(rest, "failed to login as ")
	if !ok {
		return Unparsed
	}
	name, ok = strings.CutSuffix(name, " but has been temporarily banned from Git auth")
	if !ok {
		return Unparsed
	}
	e.Client, e.User = address(ip), name
	e.Operation, e.Status, e.Error = detector.OpGit, 403, loginFailed
	e.ThrottleEnv, e.Message = "blocklist", "temporarily banned from Git auth"
	return Parsed
}

func orStatus(status, otherwise int) int {
	if status == 0 {
		return otherwise
	}
	return status
}
