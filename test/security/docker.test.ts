import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPlace, outcome, type Place } from './place.js'

let place: Place
beforeAll(async () => { place = await openPlace() })
afterAll(() => place.close())

/** Asked of Docker 20.10 (runc 1.1, its default profile, the same image) with the same scripts on a cgroup v1 host. */
const same: Readonly<Record<string, readonly [script: string, docker: string]>> = {
  'ids and capabilities': [
    'grep -E "^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)" /proc/self/status | tr "\\t" " "',
    'Uid: 0 0 0 0\nGid: 0 0 0 0\nGroups: 0 \nCapInh: 0000000000000000\nCapPrm: 00000000a80425fb\nCapEff: 00000000a80425fb\n' +
    'CapBnd: 00000000a80425fb\nCapAmb: 0000000000000000\nNoNewPrivs: 0\nSeccomp: 2',
  ],
  'devices': ['ls -A /dev | grep -v core | tr "\\n" " "; ls -A /dev/pts', 'fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ptmx'],
  'kernel file systems': [
    'grep -E " /(proc|sys|dev/pts|dev/mqueue|dev/shm) " /proc/mounts | awk \'{print $2, $3, $4}\' | sed -E "s/,?(size|gid)=[^,]*//g" | sort',
    '/dev/mqueue mqueue rw,nosuid,nodev,noexec,relatime\n/dev/pts devpts rw,nosuid,noexec,relatime,mode=620,ptmxmode=666\n' +
    '/dev/shm tmpfs rw,nosuid,nodev,noexec,relatime\n/proc proc rw,nosuid,nodev,noexec,relatime\n/sys sysfs ro,nosuid,nodev,noexec,relatime',
  ],
  'read-only parts of /proc': [
    'awk \'$3 == "proc" && $2 != "/proc" {print $2, $4}\' /proc/mounts | sort',
    '/proc/bus ro,nosuid,nodev,noexec,relatime\n/proc/fs ro,nosuid,nodev,noexec,relatime\n/proc/irq ro,nosuid,nodev,noexec,relatime\n/proc/sys ro,nosuid,nodev,noexec,relatime',
  ],
  'masked files and directories': [
    'for f in /proc/keys /proc/timer_list; do stat -c "%n %t,%T" $f; done; for d in /proc/acpi /sys/firmware; do echo $d $(ls -A $d | wc -l); done',
    '/proc/keys 1,3\n/proc/timer_list 1,3\n/proc/acpi 0\n/sys/firmware 0',
  ],
  'nothing of the kernel to write': [
    'for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/mm/transparent_hugepage/enabled; do (: >> $f) 2>/dev/null && echo $f; done; echo none', 'none',
  ],
  'what is refused': [
    'unshare -U true 2>&1; mknod /tmp/x b 254 0; head -c1 /tmp/x 2>&1; mount -t tmpfs t /tmp 2>&1; dmesg 2>&1 | head -1',
    'unshare: unshare(0x10000000): Operation not permitted\nhead: /tmp/x: Operation not permitted\nmount: permission denied (are you root?)\ndmesg: klogctl: Operation not permitted',
  ],
  'the rest': [
    'umask; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range; ls /sys/class/net | tr "\\n" " "; pwd; env | grep -E "^(HOME|PATH)="; hostname | wc -c',
    '0022\n0\n0\n0\t2147483647\neth0 lo /\nHOME=/root\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n13',
  ],
  'no descriptor but the three': ['ls /proc/self/fd | grep -v "^3$" | tr "\\n" " "', '0 1 2 '],
}

test.each(Object.entries(same))('as Docker gives it: %s', async (_, [script, docker]) => {
  expect((await outcome('busybox', { command: script })).text.trim()).toBe(docker.trim())
})

test('stricter than Docker 20.10: interrupts are masked, masks hold no programs, the cgroup view has no systemd', async () => {
  const { text } = await outcome('busybox', {
    command: 'stat -c %t,%T /proc/interrupts; grep " /sys/firmware " /proc/mounts | cut -d" " -f4 | cut -d, -f1-4; ls /sys/fs/cgroup | grep -c systemd',
  })
  expect(text).toBe('1,3\nro,nosuid,nodev,noexec\n0')
})
