package login

// ForgetFailure lets the next sign-in ask a provider that was away, as it is after a few seconds.
func (d *Door) ForgetFailure() {
	d.provider.mu.Lock()
	defer d.provider.mu.Unlock()
	d.provider.failed = nil
}
