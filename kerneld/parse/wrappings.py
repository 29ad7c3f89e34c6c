"""What logs, consoles, containers and pagers put around a message: a pattern each.

Dates stand in kerneld.parse.stamps. Every pattern is bounded, so that no line is slow.
"""

import re

ANSI = re.compile(
    r"\x1b(?:\[[0-9;?]{0,20}[ -/]?[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[()][A-Z0-9])"
)
QUOTE = re.compile(r"(?:[>|] ?){1,8}(?=\s{0,80}\S|$)|`{1,3}(?=\S)")
# grep -n, cat -n, nl; not the hours of a time, nor the year of a date
# a bullet, a comment, or Linux's own word that lines are missing, before what has a wrapping
BULLET = re.compile(
    r"(?:[#;*-]{1,3}|//) {1,4}(?=\[ *[0-9]|<[0-9]|[0-9]{4}-[0-9]{2}-|[^\W\d_]{3} +[0-9]{1,2} [0-9]{2}:)"
    r"|\*\* [0-9]{1,9} printk messages dropped \*\* *(?=\[ *[0-9])"
)
NUMBER = re.compile(r" {0,12}[0-9]{1,9}(?:[:-](?![0-9]{2}[:.-])|\t)", re.ASCII)
LESS_NUMBER = re.compile(
    r" {1,8}[0-9]{1,7} {1,2}(?=\[ *[0-9]|<[0-9]|[0-9]{4}-[0-9]{2}-|[^\W\d_]{3} +[0-9]{1,2} [0-9]{2}:)"
)
_DATED = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]|[^\W\d_]{3} +[0-9]{1,2} [0-9]{2}:"
GREPPED = re.compile(
    rf"[^\s:]{{0,200}}[./][^\s:]{{0,200}}:(?:[0-9]{{1,9}}:)?(?=\[ *[0-9]|<[0-9]{{1,3}}>|{_DATED})"
    rf"|[^\W\d_][\w-]{{1,60}}:(?:[0-9]{{1,9}}:)?(?={_DATED})"
)
"""`/var/log/kern.log:7:[`, and `messages:Nov`: before anything but a date that is a program's tag"""
UPTIME = re.compile(
    r"\[ *(?P<uptime>[0-9]{1,10}\.[0-9]{6})(?:@[0-9]{1,3})?(?: <[ +0-9.]{1,20}>)?\]"
    r"(?: ?\[ *(?P<caller>[TC][0-9]{1,10})\])? ?"
)
RELATIVE = re.compile(r"\[(?: *[+<] *[0-9.]{1,20}>?|[^\W\d_]{3} ?[0-9]{1,2} [0-9]{2}:[0-9]{2})\] ")
PRI = re.compile(r"<(?P<pri>[0-9]{1,3})>")
RFC5424 = re.compile(
    r"(?:<(?P<pri>[0-9]{1,3})>)?1 (?P<when>[0-9T:.Z+-]{19,35}) (?P<host>\S{1,255}) "
    r"(?P<ident>\S{1,128}) (?P<procid>\S{1,128}) \S{1,128} "
    r'(?:-|(?:\[(?>[^\]\\"]|\\.|"(?>[^"\\]|\\.)*")*\])+)(?: \ufeff?|$)'
)
DECODED = re.compile(
    r"(?P<facility>kern|user|mail|daemon|auth|syslog|lpr|news|uucp|cron|authpriv|ftp|local[0-7]) *:"
    r"(?P<level>emerg|alert|crit|err|warn|notice|info|debug) *: ?"
)
_IPV6 = r"(?=\S{0,36}::|(?:[^\s:]{1,4}:){7})[0-9A-Fa-f:]{2,39}(?:%\w{1,15})?"
IDENT = (
    r"(?:[a-z][a-z0-9]{2,8}\.[a-z]{3,7} +)?(?P<ident>[^\s\[\]:\"'{}]{1,128})"
    r"(?:\[(?P<ident_pid>[0-9]{1,10})\])?: ?"
)
HOST_IDENT = re.compile(
    rf" {{0,3}}(?:(?P<host>\S{{0,254}}[^\s:]) +)??(?!{_IPV6} ){IDENT}"  # its colons end no name
)
HOST_ONLY = re.compile(
    r" {0,3}(?P<host>\S{0,254}[^\s:]) "
    r"(?=\[ *[0-9]{1,10}\.[0-9]{6}\]|<[0-9]>\[|[0-9]{1,10},[0-9]{1,19},[0-9]{1,19},)"
)
MONOTONIC_HOST = re.compile(r"(?P<host>[^\s:]{1,255}) (?=kernel: )")
LINUX = re.compile(r"(?:kern\.[a-z]{3,7} )?kernel: ?")
AUDIT = re.compile(r"audit\[[0-9]{1,10}\]: ")
# Linux's own lines of such a daemon's crash begin the same
DAEMON = re.compile(
    r"(?P<ident>systemd-oomd|systemd-coredump|earlyoom|nohang(?:-[a-z]{1,20})?)"
    r"(?:\[(?P<ident_pid>[0-9]{1,10})\])?:"
    r"(?! (?:segfault|unhandled|undefined|bus error|illegal|floating|unknown signal) ) ?"
)
LOGCAT = re.compile(
    r"(?:[0-9]{2}-[0-9]{2} )?[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3} +[0-9]{1,7} +[0-9]{1,7} "
    r"[VDIWEF] (?P<ident>[^:]{1,40}?) *: "
)
CRI = re.compile(r"(?P<when>[0-9T:.Z+-]{19,40}) std(?:out|err) (?P<tag>[FP]) ")
POD = re.compile(r"\[pod/[^\]\s]{1,400}\] ?")
COMPOSE = re.compile(r"[a-z0-9][\w.-]{0,100} +\| (?=\S)", re.ASCII)
# a prompt that stood on the console, or a line of systemd's that Linux wrote over
CONSOLE = re.compile(
    r"[^\[\]]{0,60}(?:login: |[#$] )(?=\[ *[0-9]{1,10}\.[0-9]{6}\])"
    r"|\[(?:  OK  |FAILED|DEPEND|[ *]{6})\] .{0,80}? (?=\[? *[0-9]{1,10}\.[0-9]{6}\] )"
)
OVERWRITTEN = re.compile(r" *(?P<uptime>[0-9]{1,10}\.[0-9]{6})\] ")
DMESG_ISO = re.compile(r"[0-9-]{10}T[0-9:]{8},[0-9]{6}[+-][0-9]{2}:[0-9]{2} ")
# a row of a table: a field in quotes, first or behind a name, a number or a date
CSV = re.compile(
    r'"|(?:[^\W\d][^\s",:\[\]]{0,60}|[0-9]{1,12}'
    r'|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{8,18}(?:Z|[+-][0-9:]{4,5})?),(?=[^,]{0,64},|")'
)
# what talosctl makes of a record of /dev/kmsg, behind the node's name where several are asked
TALOS = re.compile(
    r" {0,8}(?:(?P<host>[^\s\[\]]{1,255}): {1,8})?(?P<facility>[a-z]{3,8}[0-7]?): {1,8}"
    r"(?P<level>emerg|alert|crit|err|warning|notice|info|debug): \[(?P<when>[0-9T:.-]{19,30}Z)\]: ?"
)
# vmware.log, of a guest whose end it saw: behind its own date
GUEST = re.compile(r" (?:[A-Z][a-z]\([0-9]{2}\)\+? )?[a-z]{1,8}-[0-9]{1,3} - Guest: (?=<|\[ *[0-9])")
