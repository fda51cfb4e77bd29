// Command idle is all that the lab's image has in it: a process that does nothing.
package main

import "time"

func main() { time.Sleep(time.Hour) }
