package metrics

import "github.com/prometheus/client_golang/prometheus"

// family is one metric with all its labels' values. docs/metrics.md says the same of each, which a test holds.
type family struct {
	name   string
	kind   string // counter, gauge, histogram
	labels []string
	desc   *prometheus.Desc
}

// families are all of ours.
var families []family

func newFamily(kind, name, help string, labels []string) family {
	f := family{"regwarden_" + name, kind, labels, prometheus.NewDesc("regwarden_"+name, help, labels, nil)}
	families = append(families, f)
	return f
}

func counter(name, help string, labels ...string) family {
	return newFamily("counter", name, help, labels)
}

func gauge(name, help string, labels ...string) family {
	return newFamily("gauge", name, help, labels)
}

func histogram(name, help string, labels ...string) family {
	return newFamily("histogram", name, help, labels)
}

// What is told of the daemon.
var (
	buildInfo    = gauge("build_info", "Always 1; the labels say which build runs.", "version", "revision", "goversion")
	dryRun       = gauge("dry_run", "1 while dry_run is on and nobody is blocked.")
	reloadFailed = gauge("config_reload_failed", "1 while the last reload was refused and the old configuration goes on running.")
	warnings     = gauge("warnings", "Faults that need a hand; regwarden status names them.")
)

// What is told of sources. The files of one are counted together.
var (
	linesRead     = counter("lines_read_total", "Lines read.", "source")
	events        = counter("events_total", "Lines that told of an event which a rule may take.", "source")
	linesUnparsed = counter("lines_unparsed_total", "Lines that no dialect could read.", "source")
	linesCut      = counter("lines_cut_total", "Lines longer than 64 KiB, of which only the beginning was read.", "source")
	bytesRead     = counter("read_bytes_total", "Bytes read.", "source")
	bytesBehind   = gauge("source_behind_bytes", "Bytes that are written and not read yet.", "source")
	logLag        = gauge("log_lag_seconds", "How old the last lines with an event were when they were counted.", "source")
	lastLine      = gauge("last_line_timestamp_seconds", "When lines were counted last, in unix time; missing before the first.", "source")
	sourceUp      = gauge("source_up", "1 while the source can be read.", "source")
	sourceFiles   = gauge("source_files", "Files that are followed or were within a day.", "source")
)

// What is told of rules and blocks.
var (
	ruleMatches    = counter("rule_matches_total", "Requests that counted for the rule.", "rule")
	decisions      = counter("decisions_total", "What rules decided, by verb: block, would-block, spared, unblock (a storm that was seen late).", "rule", "verb")
	spared         = counter("spared_total", "Decisions that a guard turned into spared or took back.", "rule", "guard")
	blocksTotal    = counter("blocks_total", "Blocks made, those that lengthen or add to another included.", "rule")
	activeBlocks   = gauge("active_blocks", "Blocks in force. A target that two rules block has two.", "rule")
	blockedTargets = gauge("blocked_targets", "Addresses and networks that are blocked.")
	unblocks       = counter("unblocks_total", "Blocks that went, by what took them away.", "via")
	late           = counter("late_decisions_total", "Blocks that would have ended before they began, since the lines were hours old or their clock is wrong.")
)

// What is told of the project page.
var (
	humanTests = counter("human_test_total", "Human tests before an unblock on the project page: passed, failed, or away where the provider did not answer.", "provider", "result")
	logins     = counter("portal_logins_total", "Logins on the project page that came to their end: ok or failed.", "result")
)

// What is told of actions.
var (
	actionUp          = gauge("action_up", "1 while the action works: 0 from a failed attempt to the next good one.", "action")
	actionPending     = gauge("action_pending", "Changes that are not carried out yet.", "action")
	actionApplied     = counter("action_applied_total", "Changes carried out.", "action")
	actionFailures    = counter("action_failures_total", "Attempts that failed.", "action")
	actionDropped     = counter("action_dropped_total", "Changes that were given up.", "action")
	actionHealed      = counter("action_healed_total", "Times that the action was made right again after others had changed what it keeps.", "action")
	actionLastError   = gauge("action_last_error_timestamp_seconds", "When an attempt failed last, in unix time; missing before the first.", "action")
	actionLastSuccess = gauge("action_last_success_timestamp_seconds", "When an attempt went well last, in unix time; missing before the first.", "action")
	blockApply        = histogram("block_apply_seconds", "From a change's being saved to its being carried out.", "action")
)

// What is told of the database.
var (
	checkpointTime     = histogram("checkpoint_seconds", "Time to save all positions and counts.")
	checkpointFailures = counter("checkpoint_failures_total", "Checkpoints that could not be saved.")
	checkpointLast     = gauge("checkpoint_last_timestamp_seconds", "When a checkpoint was saved last, in unix time.")
	checkpointBytes    = gauge("checkpoint_bytes", "Size of the last checkpoint.")
	saveTime           = histogram("save_seconds", "Time to save changes of blocks, before actions hear of them.")
	saveFailures       = counter("save_failures_total", "Times that changes could not be saved.")
	unsavedChanges     = gauge("unsaved_changes", "Changes that are carried out and not saved yet.")
)

// What is told of memory.
var (
	trackedKeys   = gauge("tracked_keys", "Counts that are kept: one for each rule and what it counts by.")
	activeTargets = gauge("active_targets", "Clients seen in the last minutes.")
	evictions     = counter("evictions_total", "Counts that were still of use when they had to go for others.")
	tableBytes    = gauge("table_bytes", "Memory that the tables of counts take.")
	tableLimit    = gauge("table_limit_bytes", "The most that the tables of counts may take.")
)
