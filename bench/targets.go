package main

import "fmt"

// target is one figure that regwarden shall reach. It is held against a run, never typed in.
type target struct {
	what  string
	limit float64
	// most says that the limit is the most that is allowed; else it is the least.
	most bool
	unit string
	// measure returns the figure; not ok where somebody who is needed did not run, or the machine was too busy to tell.
	measure func(r *results) (value float64, ok bool)
}

// ratio is the cost a line of one contender over that of another, both on the same log.
func ratio(log, over, under string) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		a, b := r.get(log, over), r.get(log, under)
		if a == nil || b == nil {
			return 0, false
		}
		x, _ := a.perLine()
		y, _ := b.perLine()
		return x / y, true
	}
}

// speed is lines a second and core by scale, in millions, or bytes in thousand millions.
func speed(log string, bytes bool) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		c := r.get(log, oursName)
		if c == nil {
			return 0, false
		}
		ns, _ := c.perLine()
		if bytes {
			return c.log.perLine() / ns, true
		}
		return 1e3 / ns, true
	}
}

// tenRules is fail2ban's best with ten rules over regwarden with the same ten.
func tenRules(r *results) (float64, bool) {
	best, known := 0.0, false
	for _, d := range datePatterns {
		if x, ok := ratio("nginx", fail2banName(10, d.name), rulesName("field", 10))(r); ok && (!known || x < best) {
			best, known = x, true
		}
	}
	return best, known
}

// wall is the wall time of two cores over that of one. On a machine that others use it says nothing: then one core waits for more than it works.
func wall(log string) func(*results) (float64, bool) {
	return func(r *results) (float64, bool) {
		one, two := r.get(log, oursName), r.get(log, oursTwoName)
		if one == nil || two == nil {
			return 0, false
		}
		cpu, _ := one.perLine()
		if float64(one.wall()) > 1.25*cpu*float64(one.lines) {
			return 0, false
		}
		return float64(two.wall()) / float64(one.wall()), true
	}
}

// memoryLessTables is the peak memory of the large log's replay in MiB, without the tables of counts and traffic.
func memoryLessTables(r *results) (float64, bool) {
	if r.memory == nil || r.memory.summary.Tables == 0 {
		return 0, false
	}
	return float64(r.memory.cost.RSS)/1024 - float64(r.memory.summary.Tables)/(1<<20), true
}

var targets = []target{
	{"nginx: regwarden ÷ grep -c -F", 1.2, true, "times", ratio("nginx", oursName, grepName)},
	{"nginx: regwarden ÷ rg -j1 -c -F", 4.5, true, "times", ratio("nginx", oursName, rgName)},
	{"registry JSON: regwarden", 2.3, false, "million lines/s a core", speed("registry", false)},
	{"production_json: regwarden", 2, false, "GB/s a core", speed("production_json", true)},
	{"fail2ban with 1 rule and default dates ÷ all shipped rules", 600, false, "times", ratio("nginx", fail2banName(1, datePatterns[0].name), oursName)},
	{"fail2ban with ten rules, its best dates ÷ the same ten rules", 80, false, "times", tenRules},
	{"CrowdSec with one scenario ÷ all shipped rules", 300, false, "times", ratio("nginx", crowdsecName, oursName)},
	{"50 field rules ÷ 10", 1.2, true, "times", ratio("nginx", rulesName("field", 50), rulesName("field", 10))},
	{"50 failregex rules ÷ 10", 1.2, true, "times", ratio("nginx", rulesName("raw", 50), rulesName("raw", 10))},
	{"nginx: wall time, two cores ÷ one", 0.65, true, "times", wall("nginx")},
	{"registry JSON: wall time, two cores ÷ one", 0.65, true, "times", wall("registry")},
	{"production_json: wall time, two cores ÷ one", 0.65, true, "times", wall("production_json")},
	{"nginx, 2 GB: peak memory of replay, less its tables", 64, true, "MiB", memoryLessTables},
}

// row tells a target, what was measured and whether that reaches it.
func (t target) row(r *results) string {
	sign := map[bool]string{true: "≤", false: "≥"}[t.most]
	value, ok := t.measure(r)
	measured, verdict := figure(value)+" "+t.unit, t.verdict(value)
	if !ok {
		measured, verdict = "–", "not measured"
	}
	return fmt.Sprintf("| %s | %s %s %s | %s | %s |\n", t.what, sign, figure(t.limit), t.unit, measured, verdict)
}

// verdict says whether the value reaches the target, or by how much it does not.
func (t target) verdict(value float64) string {
	switch {
	case t.most && value > t.limit:
		return fmt.Sprintf("**no**: %.0f %% too much", 100*(value/t.limit-1))
	case !t.most && value < t.limit:
		return fmt.Sprintf("**no**: %.0f %% short", 100*(1-value/t.limit))
	}
	return "yes"
}

// figure writes a number with three figures that count.
func figure(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}
