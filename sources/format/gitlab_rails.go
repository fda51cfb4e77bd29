package format

import (
	"net/netip"
	"strings"

	"github.com/valyala/fastjson"

	"regwarden/detector"
)

// loginFailed is the error of a login that GitLab refused, however its row says so.
const loginFailed = "login failed"

// isRails knows production_json.log: only its rows have a controller, null for ActionCable.
func isRails(rec *record) bool {
	return rec.has(keyController) && rec.has(keyPath) && rec.has(keyStatus)
}

// readRails reads a row of GitLab's production_json.log.
func (r *Reader) readRails(e *detector.Event) Verdict {
	rec := &r.record
	if !rec.has(keyPath) || !rec.has(keyStatus) {
		return Unparsed
	}
	e.Time = timestamp(rec.text(keyTime))
	e.Client = railsClient(rec)
	e.Status = rec.status(keyStatus)
	e.Method = rec.text(keyMethod)
	e.UserAgent = rec.text(keyUA)
	e.User = rec.either(keyUsername, keyMetaUser)
	e.Project = rec.text(keyMetaProject)
	e.Safelist = rec.text(keySafelist)
	classify(e.Method, rec.text(keyPath), &r.scratch).set(e)
	r.railsController(e)
	return Parsed
}

// railsClient returns Rails' own idea of the client, which honours GitLab's trusted proxies. The meta field repeats it, and is
// looked at only where the first is missing.
func railsClient(rec *record) netip.Addr {
	if rec.filled(keyRemoteIP) {
		return rec.client(keyRemoteIP)
	}
	return rec.client(keyMetaRemoteIP)
}

func (r *Reader) railsController(e *detector.Event) {
	rec := &r.record
	controller, action := rec.text(keyController), rec.text(keyAction)
	operation, known := controllerOperation(controller, action)
	switch {
	case controller == "":
	case operation == detector.OpToken:
		r.railsToken(e)
	case operation == detector.OpLogin && controller == sessionsController:
		r.railsLogin(e, sessionFailed(e.Status, rec.params))
	case operation == detector.OpLogin:
		r.railsLogin(e, action == "failure")
	case known:
		e.Operation = operation
	case strings.HasPrefix(e.Path, "/v2/"):
		// GitLab's dependency proxy is a registry of its own.
	case e.Operation != detector.OpLogin:
		e.Operation = detector.OpWeb
	}
}

const sessionsController = "SessionsController"

// controllerOperation is what Rails' controllers are for, where that is more than a page.
func controllerOperation(controller, action string) (o detector.Operation, known bool) {
	switch {
	case controller == "JwtController":
		return detector.OpToken, true
	case controller == sessionsController && action == "create", strings.HasSuffix(controller, "OmniauthCallbacksController"):
		return detector.OpLogin, true
	case isGitController(controller):
		return detector.OpGit, true
	}
	return detector.OpOther, false
}

func isGitController(name string) bool {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "Repositories::"), "Projects::")
	return strings.HasPrefix(name, "GitHttp") || strings.HasPrefix(name, "Lfs")
}

// railsToken reads /jwt/auth. The name that was tried is in the parameters, also where it was refused.
func (r *Reader) railsToken(e *detector.Event) {
	e.Operation, e.Reference = detector.OpToken, ""
	params := r.record.params
	if account := paramText(params, "account"); account != "" {
		e.User = account
	}
	e.Repository = scopeRepository(paramText(params, "scope"))
}

// railsLogin reads a login through the web. The name is what was typed, in user[login] or, with LDAP, in username.
func (r *Reader) railsLogin(e *detector.Event, failed bool) {
	e.Operation = detector.OpLogin
	params := r.record.params
	if name := fieldText(param(params, "user"), "login"); name != "" {
		e.User = name
	} else if name := paramText(params, "username"); name != "" {
		e.User = name
	}
	if failed {
		e.Error = loginFailed
	}
}

// sessionFailed knows a refused SessionsController#create: status 0 where Warden gave up, 401, or 200 with a second factor that
// did not fit, which shows the form again. Success redirects.
func sessionFailed(status int, params *fastjson.Value) bool {
	switch status {
	case 0, 401:
		return true
	case 200:
		user := param(params, "user")
		return user.Exists("otp_attempt") && !user.Exists("login")
	}
	return false
}

// param returns the value of the last parameter of that name: lograge's list of {"key":…,"value":…}, or the object that older versions wrote.
func param(params *fastjson.Value, name string) *fastjson.Value {
	if params == nil || params.Type() == fastjson.TypeObject {
		return params.Get(name)
	}
	list := params.GetArray()
	for i := len(list) - 1; i >= 0; i-- {
		if string(list[i].GetStringBytes("key")) == name {
			return list[i].Get("value")
		}
	}
	return nil
}

func paramText(params *fastjson.Value, name string) string {
	v := param(params, name)
	if list := v.GetArray(); len(list) > 0 {
		v = list[len(list)-1]
	}
	return view(v.GetStringBytes())
}

func fieldText(v *fastjson.Value, name string) string { return view(v.GetStringBytes(name)) }
