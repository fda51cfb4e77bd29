package format

// key is a name that some dialect reads out of JSON or logfmt.
type key uint8

// The keys, by what they mean where several names mean the same.
const (
	keyNone key = iota
	keyMessage
	keyMsg
	keyTime
	keyTimestamp
	keySeverity
	keyLevel
	keyStatus
	keyMethod
	keyRequestMethod
	keyPath
	keyFullPath
	keyParams
	keyRemoteIP
	keyIP
	keyMetaRemoteIP
	keyUA
	keyUserAgent
	keyUsername
	keyMetaUser
	keyUserID
	keyDeployTokenID
	keyMetaProject
	keyController
	keyAction
	keySafelist
	keyRoute
	keyBackendID
	keyEnv
	keyMatched
	keyThrottleType
	keyLogin
	keyHTTPUser
	keyLimit
	keyCount
	keyCountedBy
	keyRateLimitState
	keyRequestedProject
	keyCorrelationID
	keyRootRepo
	keyGoVersion
	keySystem
	keyURI
	keyRemoteAddr
	keyWrittenBytes
	keyClientIP
	keyStatusCode
	keyBodySize
	keyHeaders
	keyCaller
	keyGoroutine
	keyModule
	keyHTTPMethod
	keyHTTPURI
	keyHTTPRemoteAddr
	keyHTTPUserAgent
	keyHTTPStatus
	keyHTTPWritten
	keyErrCode
	keyAuthUserName
	keys // how many there are
)

// keyOf returns the key of a name, keyNone for the many that nobody reads.
func keyOf(name string) key {
	switch name {
	case "message":
		return keyMessage
	case "msg":
		return keyMsg
	case "time":
		return keyTime
	case "@timestamp":
		return keyTimestamp
	case "severity":
		return keySeverity
	case "level":
		return keyLevel
	case "status":
		return keyStatus
	case "method":
		return keyMethod
	case "request_method":
		return keyRequestMethod
	case "path":
		return keyPath
	case "fullpath":
		return keyFullPath
	case "params":
		return keyParams
	case "remote_ip":
		return keyRemoteIP
	case "ip":
		return keyIP
	case "meta.remote_ip":
		return keyMetaRemoteIP
	case "ua":
		return keyUA
	case "user_agent":
		return keyUserAgent
	case "username":
		return keyUsername
	case "meta.user":
		return keyMetaUser
	case "user_id":
		return keyUserID
	case "deploy_token_id":
		return keyDeployTokenID
	case "meta.project":
		return keyMetaProject
	case "controller":
		return keyController
	case "action":
		return keyAction
	case "throttle_safelist":
		return keySafelist
	case "route":
		return keyRoute
	case "backend_id":
		return keyBackendID
	case "env":
		return keyEnv
	case "matched":
		return keyMatched
	case "throttle_type":
		return keyThrottleType
	case "login":
		return keyLogin
	case "http_user":
		return keyHTTPUser
	case "limit":
		return keyLimit
	case "count":
		return keyCount
	case "counted_by":
		return keyCountedBy
	case "rate_limit_state":
		return keyRateLimitState
	case "requested_project_path":
		return keyRequestedProject
	case "correlation_id":
		return keyCorrelationID
	case "root_repo":
		return keyRootRepo
	case "go_version":
		return keyGoVersion
	case "system":
		return keySystem
	case "uri":
		return keyURI
	case "remote_addr":
		return keyRemoteAddr
	case "written_bytes":
		return keyWrittenBytes
	case "clientIP":
		return keyClientIP
	case "statusCode":
		return keyStatusCode
	case "bodySize":
		return keyBodySize
	case "headers":
		return keyHeaders
	case "caller":
		return keyCaller
	case "goroutine":
		return keyGoroutine
	case "module":
		return keyModule
	case "http.request.method":
		return keyHTTPMethod
	case "http.request.uri":
		return keyHTTPURI
	case "http.request.remoteaddr":
		return keyHTTPRemoteAddr
	case "http.request.useragent":
		return keyHTTPUserAgent
	case "http.response.status":
		return keyHTTPStatus
	case "http.response.written":
		return keyHTTPWritten
	case "err.code":
		return keyErrCode
	case "auth.user.name":
		return keyAuthUserName
	}
	return keyNone
}
