"""Each wrapping in which lines of the Linux log are found; {} stands for the message."""

TEXT = {
    "dmesg": "[   12.345678] {}",
    "dmesg -T": "[Thu Nov 26 10:11:12 2026] {}",
    "dmesg -T, German": "[Do Nov 26 10:11:12 2026] {}",
    "dmesg -T, French": "[jeu. nov. 26 10:11:12 2026] {}",
    "dmesg -T, Chinese": "[四 11月 26 10:11:12 2026] {}",
    "dmesg -T, Arabic": "[الخميس نوفمبر 26 10:11:12 2026] {}",
    "dmesg -x": "kern  :{word}: [   12.345678] {}",
    "dmesg -xT": "kern  :{word}: [Thu Nov 26 10:11:12 2026] {}",
    "dmesg iso": "2026-11-26T10:11:12,345678+00:00 {}",
    "dmesg -r": "<{level}>[   12.345678] {}",
    "dmesg -rt": "<{level}>{}",
    "dmesg -d": "[   12.345678 <    0.000012>] {}",
    "dmesg -e": "[Nov26 10:11] {}",
    "dmesg -e, next": "[  +0.000012] {}",
    "caller, a task": "[   12.345678][ T123] {}",
    "caller, a CPU": "[   12.345678][    C1] {}",
    "journalctl": "Nov 26 10:11:12 host kernel: {}",
    "journalctl, Russian": "ноя 26 10:11:12 host kernel: {}",
    "short-precise": "Nov 26 10:11:12.345678 host kernel: {}",
    "short-iso": "2026-11-26T10:11:12+0000 host kernel: {}",
    "short-iso-precise": "2026-11-26T11:11:12.345678+01:00 host kernel: {}",
    "short-full": "Thu 2026-11-26 10:11:12 UTC host kernel: {}",
    "short-unix": "1795687872.345678 host kernel: {}",
    "short-monotonic": "[   12.345678] host kernel: {}",
    "journalctl, no host": "Nov 26 10:11:12 kernel: {}",
    "rsyslog": "Nov 26 10:11:12 host kernel: [   12.345678] {}",
    "rsyslog, iso": "2026-11-26T11:11:12.345678+01:00 host kernel: [   12.345678] {}",
    "rsyslog, Cisco's year": "Nov 26 2026 10:11:12 host kernel: {}",
    "RFC 5424 without priority": "1 2026-11-26T10:11:12.345678Z host kernel - - - {}",
    "busybox": "Nov 26 10:11:12 host kern.err kernel: {}",
    "busybox, stamped": "Nov 26 10:11:12 host kern.err kernel: [   12.345678] {}",
    "OpenWrt": "Thu Nov 26 10:11:12 2026 kern.err kernel: [   12.345678] {}",
    "facility and level": "kern.err kernel: {}",
    "identifier alone": "kernel: {}",
    "a broadcast": "kernel:[   12.345678] {}",
    "netconsole in syslog": "Nov 26 10:11:12 10.0.0.5 [   12.345678] {}",
    "quoted": "> [   12.345678] {}",
    "quoted twice": "> > Nov 26 10:11:12 host kernel: {}",
    "a bar": "| Nov 26 10:11:12 host kernel: {}",
    "indented": "    [   12.345678] {}",
    "grep -n": "123:[   12.345678] {}",
    "grep -n, syslog": "7:Nov 26 10:11:12 host kernel: {}",
    "grep -H": "/var/log/kern.log:Nov 26 10:11:12 host kernel: {}",
    "grep -Hn": "kern.log.1:77:[   12.345678] {}",
    "grep -H, a bare name": "messages:Nov 26 10:11:12 host kernel: {}",
    "an IPv6 address": "Nov 26 10:11:12 fe80::1 kernel: {}",
    "a whole IPv6 address": "Nov 26 10:11:12 2001:db8:0:0:0:0:0:42%eth0 kernel: [   12.345678] {}",
    "in quotes": '"[   12.345678] {}"',
    "a table": '"2026-11-26T10:11:12Z","host","kernel","{}"',
    "a table, stamped": '17,2026-11-26 10:11:12,host,"[   12.345678] {}"',
    "talosctl": "kern: {talos}: [2026-11-26T10:11:12.345678542Z]: {}",
    "talosctl, a node": "10.1.1.2: kern: {talos}: [2026-11-26T10:11:12.345678542Z]: {}",
    "vmware.log": "2026-11-26T10:11:12.127Z In(05) vcpu-5 - Guest: <{level}>[   12.345678] {}",
    "cat -n": "    12\tNov 26 10:11:12 host kernel: {}",
    "less -N": "     12 [   12.345678] {}",
    "CRI": "2026-11-26T10:11:12.345678901Z stdout F [   12.345678] {}",
    "kubectl --timestamps": "2026-11-26T10:11:12.345678901Z [   12.345678] {}",
    "kubectl --prefix": "[pod/dmesg-x/main] [   12.345678] {}",
    "docker compose": "dmesg_1  | [   12.345678] {}",
    "ansi": "\x1b[32m[   12.345678] \x1b[0m\x1b[33m{}\x1b[0m",
    "CRLF": "[   12.345678] {}\r",
    "serial console": "[2026-11-26 10:11:12] [   12.345678] {}",
    "a login prompt": "host login: [   12.345678] {}",
    "logcat": "11-26 10:11:12.345     0     0 E Kernel  : {}",
}
"""priorities are not known: trust `text`"""

WORDS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")

KERNEL = {
    "RFC 3164": "<{level}>Nov 26 10:11:12 host kernel: {}",
    "RFC 5424": '<{level}>1 2026-11-26T10:11:12.345678Z host kernel - - [a@1 b="c ] d"] {}',
}
"""priorities are known: trust `kernel`"""

ESCAPED = {
    "/dev/kmsg": "{level},99,12345678,-;{}",
    "/dev/kmsg, caller": "{level},99,12345678,-,caller=T77;{}",
    "netconsole, extended, in syslog": "Nov 26 10:11:12 10.0.0.5 {level},99,12345678,-;{}",
}
"""the same, and the text has its escapes undone"""
BEHIND_A_DATE = "netconsole, extended, in syslog"
"""an application may have written what stands there: trust `text`"""

DATED = (
    "dmesg -T",
    "journalctl",
    "short-",
    "rsyslog",
    "RFC",
    "busybox",
    "OpenWrt",
    "CRI",
    "quoted twice",
)
