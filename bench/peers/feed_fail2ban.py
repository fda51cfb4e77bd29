"""Feeds a log to fail2ban's own filter and failure manager, as its server does without the tailing, and prints who reaches maxretry.

usage: feed_fail2ban.py DATES EXPRESSIONS MAXRETRY FINDTIME LOG
DATES is "default" or date patterns, one a line; EXPRESSIONS is a file with one failregex a line."""
import sys

from fail2ban.server.failmanager import FailManagerEmpty
from fail2ban.server.filter import Filter
from fail2ban.server.ticket import FailTicket

dates, expressions, maxretry, findtime, log = sys.argv[1:]
f = Filter(None, useDns="no")
f.checkFindTime = False  # the log is old, and shall count all the same
if dates != "default":
    f.setDatePattern(dates)
for line in open(expressions):
    f.addFailRegex(line.rstrip("\n"))
f.failManager.setMaxRetry(int(maxretry))
f.failManager.setMaxTime(int(findtime))
found = set()
for line in open(log, encoding="utf-8", errors="replace"):
    for _, address, at, fail in f.processLine(line.rstrip("\n")):
        if f.failManager.addFailure(FailTicket(address, at, data=fail)) >= f.failManager.getMaxRetry():
            try:
                found.add(str(f.failManager.toBan(address).getID()))
            except FailManagerEmpty:
                pass
for address in sorted(found):
    print(address)
