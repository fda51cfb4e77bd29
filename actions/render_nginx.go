package actions

// renderNginxDeny writes lines for an include in http, server or location. It allows nobody: what else may come in is the including
// configuration's to say. nginx walks the list for every request; beyond some thousand blocks nginx-geo is the faster one.
func renderNginxDeny(r rendering) []byte {
	text := head("include it where nginx takes allow and deny")
	for _, b := range r.blocks {
		text = append(text, "deny "...)
		text = append(appendTarget(text, b.Target), ";\n"...)
	}
	return text
}

// renderNginxGeo writes lines for an include inside a geo block: the variable is 1 for a blocked client.
func renderNginxGeo(r rendering) []byte {
	text := head("include it inside a geo block; the value of a blocked client is 1")
	for _, b := range r.blocks {
		text = append(b.Target.AppendTo(text), " 1;\n"...)
	}
	return text
}
