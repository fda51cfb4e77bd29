package config

// file is the configuration as TOML has it. Pointers tell an absent key from a zero.
type file struct {
	Rules          *string  `toml:"rules"`
	Disable        []string `toml:"disable"`
	DryRun         bool     `toml:"dry_run"`
	IgnoreIP       []string `toml:"ignoreip"`
	TrustedProxies []string `toml:"trusted_proxies"`
	BlockPrivate   bool     `toml:"block_private"`
	IPv4Prefix     *int     `toml:"ipv4_prefix"`
	IPv6Prefix     *int     `toml:"ipv6_prefix"`

	Source  []fileSource `toml:"source"`
	Actions fileActions  `toml:"actions"`

	Answers struct {
		Message    string `toml:"message"`
		UnblockURL string `toml:"unblock_url"`
	} `toml:"answers"`

	Guards struct {
		Storm       *bool    `toml:"storm"`
		StormLimit  *int     `toml:"storm_limit"`
		StormWindow *string  `toml:"storm_window"`
		ProxyShare  *float64 `toml:"proxy_share"`
	} `toml:"guards"`
	State struct {
		Path        *string `toml:"path"`
		HistoryKeep *string `toml:"history_keep"`
		Memory      *string `toml:"memory"`
	} `toml:"state"`
	Control struct {
		Socket *string `toml:"socket"`
		Group  *string `toml:"group"`
	} `toml:"control"`
	Metrics struct {
		Listen string `toml:"listen"`
	} `toml:"metrics"`
	Portal *filePortal `toml:"portal"`
	Log    struct {
		Level  *string `toml:"level"`
		Format *string `toml:"format"`
	} `toml:"log"`
}

type fileSource struct {
	Name           string   `toml:"name"`
	Type           string   `toml:"type"`
	Path           string   `toml:"path"`
	Paths          []string `toml:"paths"`
	Units          []string `toml:"units"`
	Matches        []string `toml:"matches"`
	Format         string   `toml:"format"`
	Kind           string   `toml:"kind"`
	From           string   `toml:"from"`
	TrustForwarded bool     `toml:"trust_forwarded"`
	TrustOwnAccess bool     `toml:"trust_own_access"`
	Poll           bool     `toml:"poll"`
	TimeZone       string   `toml:"timezone"`
}

type fileActions struct {
	fileAnswers
	Log      *bool `toml:"log"`
	NFTables *struct {
		Table    *string `toml:"table"`
		Ports    []int   `toml:"ports"`
		Mode     *string `toml:"mode"`
		Counters bool    `toml:"counters"`
		Owner    *bool   `toml:"owner"`
	} `toml:"nftables"`
	IPTables *struct {
		Chain   *string `toml:"chain"`
		Set     *string `toml:"set"`
		Ports   []int   `toml:"ports"`
		Variant *string `toml:"variant"`
		IPSet   *string `toml:"ipset"`
		Rules   *int    `toml:"max_rules"`
	} `toml:"iptables"`
	Blocklist []struct {
		Path   string   `toml:"path"`
		Format string   `toml:"format"`
		Set    string   `toml:"set"`
		Mode   string   `toml:"mode"`
		After  []string `toml:"after"`
	} `toml:"blocklist"`
	Exec []struct {
		Name    string   `toml:"name"`
		Command []string `toml:"command"`
		Timeout string   `toml:"timeout"`
		Holds   *bool    `toml:"holds"`
		DryRun  bool     `toml:"dry_run"`
	} `toml:"exec"`
	Webhook []struct {
		Name       string            `toml:"name"`
		URL        string            `toml:"url"`
		Secret     string            `toml:"secret"`
		SecretFile string            `toml:"secret_file"`
		Headers    map[string]string `toml:"headers"`
		Timeout    string            `toml:"timeout"`
	} `toml:"webhook"`
}
