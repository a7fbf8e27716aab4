/** One thing a machine has or lacks. */
export interface Finding {
  readonly name: string
  readonly value: string
  readonly ok: boolean
  /** Whether nothing runs without it; else something is missing from what runs. */
  readonly needed: boolean
  /** What to do about it, when it is not ok. */
  readonly mend?: string
}

export interface Circumstances {
  /** Why containers have a single user, as the id map says it. */
  readonly lacking?: string | undefined
  /** Where the native program is, for the security module's profile. */
  readonly program: string
}

const SYS_ADMIN = 1n << 21n
const OUTER = '--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined'
const DELEGATION = `sudo mkdir -p /etc/systemd/system/user@.service.d
  printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf
  sudo systemctl daemon-reload    # then log in again`

/** What follows from the native program's `name=value` lines. */
export function conclude(probe: string, circumstances: Circumstances): Finding[] {
  const facts = parse(probe)
  const find: Find = (name, value, ok, mend, needed = true) => ({ name, value, ok, needed, ...(ok ? {} : { mend }) })
  const admin = (BigInt(`0x${facts('capabilities') || '0'}`) & SYS_ADMIN) !== 0n
  const root = facts('uid') === '0' && admin && facts('initial_userns') !== 'no'
  return [
    kernel(facts, find),
    ...(root ? asRoot(facts, find) : asUser(facts, find, circumstances)),
    ...systemCalls(facts, find),
    find('tun', facts('tun'), facts('tun') === 'yes', 'Containers reach no other machine: sudo modprobe tun && sudo chmod 0666 /dev/net/tun', false),
  ]
}

/** The first of them without which nothing runs. */
export function firstObstacle(findings: readonly Finding[]): Finding | undefined {
  return findings.find(({ ok, needed }) => needed && !ok)
}

type Facts = (name: string) => string
type Find = (name: string, value: string, ok: boolean, mend: string, needed?: boolean) => Finding

function kernel(facts: Facts, find: Find): Finding {
  const [major = 0, minor = 0] = facts('kernel').split('.').map(Number)
  return find('kernel', facts('kernel'), major > 5 || (major === 5 && minor >= 12), 'Mayfly needs Linux 5.12 or newer: upgrade the kernel.')
}

function asRoot(facts: Facts, find: Find): Finding[] {
  const missing = without(facts('delegated') || facts('controllers'))
  return [
    find('mode', 'root', true, ''),
    find('overlay', facts('overlay'), facts('overlay') === 'yes', 'sudo modprobe overlay'),
    find('limits', limits(facts, missing), missing.length === 0, `Limits of ${missing.join(', ')} are refused: mount these cgroup controllers.`, false),
  ]
}

function asUser(facts: Facts, find: Find, { lacking, program }: Circumstances): Finding[] {
  const missing = without(facts('delegated'))
  const v2 = facts('cgroup') === 'v2'
  const uses = facts('userns') === 'yes' && facts('user_mount') === 'yes'
  const value = uses ? 'yes' : facts('userns') === 'yes' ? `without rights (${facts('user_mount') || 'unshare'})` : `no (${facts('userns_error')})`
  const found = [
    find('mode', facts('uid') === '0' ? 'root without CAP_SYS_ADMIN' : 'ordinary user', true, ''),
    find('user namespaces', value, uses, namespacesMend(facts, program)),
  ]
  if (uses) {
    found.push(
      find('overlay', facts('user_overlay'), facts('user_overlay') === 'yes', 'Load it once, and at boot: sudo modprobe overlay && echo overlay | sudo tee /etc/modules-load.d/overlay.conf'),
      find('proc', facts('user_proc'), facts('user_proc') === 'yes', `Parts of /proc are hidden here, so none can be mounted: start the surrounding container with ${OUTER}.`),
      find('network', facts('user_network'), facts('user_network') === 'yes', 'sudo modprobe -a bridge veth'),
    )
  }
  found.push(ids(facts, find, lacking))
  found.push(find('limits', limits(facts, missing), missing.length === 0, v2
    ? `Limits of ${missing.join(', ')} are refused. Delegate the controllers to users:\n  ${DELEGATION}`
    : `Limits of ${missing.join(', ')} are refused: cgroup v1 delegates nothing to users. Boot with systemd.unified_cgroup_hierarchy=1.`, false))
  const memory = facts('memory_xattrs') === 'yes'
  if (uses) found.push(find('memory layers', facts('memory_xattrs'), memory, 'Containers write to disk: a tmpfs can hold their changes from Linux 6.6 on.', false))
  return found
}

/** The most particular reason first: each of them also shows as a refusal by the kernel. */
function namespacesMend(facts: Facts, program: string): string {
  if (facts('max_user_namespaces') === '0') {
    return 'User namespaces are switched off:\n  echo user.max_user_namespaces=15000 | sudo tee /etc/sysctl.d/99-userns.conf && sudo sysctl --system'
  }
  if (/ENOSPC|EUSERS/.test(facts('userns_error'))) return `All ${facts('max_user_namespaces')} of them are in use: raise the sysctl user.max_user_namespaces.`
  if (facts('unprivileged_userns_clone') === '0') {
    return 'User namespaces are switched off:\n  echo kernel.unprivileged_userns_clone=1 | sudo tee /etc/sysctl.d/99-userns.conf && sudo sysctl --system'
  }
  if (facts('apparmor_restrict_userns') === '1') {
    return `AppArmor restricts user namespaces. Allow them to Mayfly:
  printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile mayfly "%s" flags=(unconfined) { userns, }\\n' '${program}' | sudo tee /etc/apparmor.d/mayfly
  sudo apparmor_parser -r /etc/apparmor.d/mayfly
or to everybody: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`
  }
  if (facts('container') !== '' || facts('seccomp') === '2' || facts('uid') === '0') {
    return `The surrounding container forbids user namespaces: start it with --privileged, or with ${OUTER}.`
  }
  return 'The kernel refuses user namespaces: run as root (sudo -E …), or allow them in the security module.'
}

function ids(facts: Facts, find: Find, lacking: string | undefined): Finding {
  if (facts('uid') === '0') return find('users', 'as outside', true, '', false)
  const mappers = ['newuidmap', 'newgidmap']
  const plain = mappers.find((name) => facts(name).startsWith('plain'))
  const path = plain === undefined ? '' : facts(plain).slice('plain '.length)
  const bound = facts('no_new_privs') === '1'
  const mend = lacking ?? (plain !== undefined ? `${path} cannot lend ids: sudo chmod u+s ${path}`
    : 'Set-uid programs do nothing here (no_new_privs), and newuidmap is one: start without NoNewPrivileges= or --security-opt no-new-privileges.')
  const ok = lacking === undefined && plain === undefined && !bound
  return find('users', ok ? 'many' : 'one: root alone', ok, mend, false)
}

function systemCalls(facts: Facts, find: Find): Finding[] {
  return ['pidfd', 'clone3', 'openat2'].map((name) => find(name, facts(name), facts(name) === 'yes',
    `${name === 'pidfd' ? 'pidfd_open' : name} is refused: allow it in the seccomp profile of the surrounding container.`))
}

function limits(facts: Facts, missing: readonly string[]): string {
  return `${['cpu', 'memory', 'pids'].filter((name) => !missing.includes(name)).join(', ') || 'none'} (cgroup ${facts('cgroup')})`
}

function without(controllers: string): string[] {
  const there = controllers.split(/[ ,]/)
  return ['cpu', 'memory', 'pids'].filter((name) => !there.includes(name))
}

function parse(probe: string): Facts {
  const facts = new Map(probe.split('\n').filter((line) => line.includes('=')).map((line) => {
    const at = line.indexOf('=')
    return [line.slice(0, at), line.slice(at + 1)] as const
  }))
  return (name) => facts.get(name) ?? ''
}
