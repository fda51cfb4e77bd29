package main

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

// honestAddresses are those of 198.18.0.0/15 that honest lines come from, by Zipf.
const honestAddresses = 1 << 17

// mostAbusers is how many addresses 203.0.113.0/24 has for them.
const mostAbusers = 254

// doors are what a scanner asks for; the shipped rule registry-scan blocks at the sixth.
var doors = []string{"/.env", "/.git/config", "/wp-login.php", "/phpmyadmin/", "/actuator", lastDoor}

// lastDoor is in nobody's line but in an abuser's last needed one.
const lastDoor = "/cgi-bin/last"

// writer writes nginx lines, each in a write of its own.
type writer struct {
	f      *os.File
	rnd    *rand.Rand
	honest [][]byte // what follows an honest line's time
	zipf   *rand.Zipf
	second int64 // since 1970, of stamp
	stamp  []byte
	client []byte
	line   []byte
	next   int // abuser
	told   *bufio.Writer
}

func newWriter(path string, told *os.File) (*writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	w := &writer{f: f, rnd: rand.New(rand.NewPCG(42, 42)), told: bufio.NewWriter(told)}
	w.zipf = rand.NewZipf(w.rnd, 1.1, 8, honestAddresses-1)
	for range 4096 {
		w.honest = append(w.honest, honestRest(w.rnd))
	}
	return w, nil
}

// honestRest is an honest request behind its time: pulls, challenges, and the layers that a push asks for.
func honestRest(rnd *rand.Rand) []byte {
	method, path, status := "GET", fmt.Sprintf("/v2/group-%d/project-%d/image/blobs/sha256:%016x%016x%016x%016x", rnd.IntN(40), rnd.IntN(20), rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64()), 200
	switch n := rnd.IntN(100); {
	case n < 26:
		path, status = "/v2/", 401
	case n < 57:
		path = fmt.Sprintf("/v2/group-%d/project-%d/image/manifests/v%d", rnd.IntN(40), rnd.IntN(20), rnd.IntN(50))
	case n < 61:
		method, status = "HEAD", 404
	}
	return fmt.Appendf(nil, "\"%s %s HTTP/1.1\" %d %d \"\" \"docker/27.5.1 go/go1.22.11 git-commit/4c9b3b0 kernel/6.1.0 os/linux arch/amd64 UpstreamClient(Docker-Client/27.5.1 \\x5C(linux\\x5C))\" -\n",
		method, path, status, rnd.IntN(5000))
}

// begin starts a line with the client and the time of now.
func (w *writer) begin(client []byte, now time.Time) {
	if s := now.Unix(); s != w.second {
		w.second = s
		w.stamp = now.AppendFormat(w.stamp[:0], " - - [02/Jan/2006:15:04:05 -0700] ")
	}
	w.line = append(append(w.line[:0], client...), w.stamp...)
}

// pull writes an honest line.
func (w *writer) pull(now time.Time) error {
	n := w.zipf.Uint64()
	w.begin(fmt.Appendf(w.client[:0], "198.%d.%d.%d", 18+n>>16, n>>8&255, n&255), now)
	w.line = append(w.line, w.honest[w.rnd.IntN(len(w.honest))]...)
	_, err := w.f.Write(w.line)
	return err
}

// scan writes abuser n's request for a door, and says when it is the last.
func (w *writer) scan(n, door int) error {
	now := time.Now()
	client := fmt.Sprintf("203.0.113.%d", n+1)
	w.begin([]byte(client), now)
	w.line = fmt.Appendf(w.line, "\"GET %s HTTP/1.1\" 404 153 \"-\" \"curl/8.5.0\" -\n", doors[door])
	if doors[door] == lastDoor {
		fmt.Fprintf(w.told, "%s %d\n", client, time.Now().UnixNano())
	}
	_, err := w.f.Write(w.line)
	return err
}

// scanAll writes all that an abuser needs.
func (w *writer) scanAll() error {
	for door := range doors {
		if err := w.scan(w.next, door); err != nil {
			return err
		}
	}
	w.next++
	return nil
}

// write is the writer process: one abuser to see that the follower is there, the load, the idle time. Each part begins when a line comes on standard
// input and ends with one on standard output.
func write(args []string) error {
	flags := flag.NewFlagSet("write", flag.ExitOnError)
	path := flags.String("log", "", "the log")
	rate := flags.Int("rate", 0, "lines a second")
	seconds := flags.Int("seconds", 0, "length of the load")
	abusers := flags.Int("abusers", 0, "decisions a second")
	idle := flags.Int("idle", 0, "decisions from idle")
	flags.Parse(args)
	w, err := newWriter(*path, os.Stdout)
	if err != nil {
		return err
	}
	defer w.f.Close()
	parts := []func() error{w.scanAll, func() error { return w.load(*rate, *seconds, *abusers) }, func() error { return w.idle(*idle) }}
	in := bufio.NewScanner(os.Stdin)
	for _, part := range parts {
		if !in.Scan() {
			return in.Err()
		}
		if err := part(); err != nil {
			return err
		}
		fmt.Fprintln(w.told, "done")
		if err := w.told.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// load writes so many lines a second, some each millisecond, and makes up for what it was late.
func (w *writer) load(rate, seconds, abusers int) error {
	begun := time.Now()
	every := rate / max(1, abusers)
	for n, total := 0, rate*seconds; n < total; {
		now := time.Now()
		due := min(total, int(now.Sub(begun).Seconds()*float64(rate))+1)
		for ; n < due; n++ {
			// Not at the second's beginning, where the reader might always be at the same place.
			if abusers > 0 && n%every == w.next*7919%every && w.next < 1+seconds*abusers {
				if err := w.scanAll(); err != nil {
					return err
				}
			}
			if err := w.pull(now); err != nil {
				return err
			}
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// idle lets each abuser come to one line before its end, and then writes the last lines one by one, a second and more apart.
func (w *writer) idle(count int) error {
	for n := range count {
		for door := range len(doors) - 1 {
			if err := w.scan(w.next+n, door); err != nil {
				return err
			}
		}
	}
	for range count {
		time.Sleep(1200*time.Millisecond + time.Duration(w.rnd.IntN(300))*time.Millisecond)
		if err := w.scan(w.next, len(doors)-1); err != nil {
			return err
		}
		w.next++
	}
	return nil
}
