// Command regwarden follows a container registry's logs and blocks who abuses it for a limited time. One file is one verb; the daemon
// itself is internal/daemon, and the verbs that ask a running one are clients of internal/control.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
