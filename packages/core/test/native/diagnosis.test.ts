import { describe, expect, test } from 'vitest'

import { conclude, firstObstacle, type Finding } from '../../src/native/diagnosis.js'

const common = {
  kernel: '6.1.0', overlay: 'yes', pidfd: 'yes', clone3: 'yes', openat2: 'yes', tun: 'yes', seccomp: '0', no_new_privs: '0', container: '',
  initial_userns: 'yes', max_user_namespaces: '15000',
}
const root = { ...common, uid: '0', capabilities: '000001ffffffffff', cgroup: 'hybrid', controllers: 'cpu memory pids', delegated: 'cpu,memory,pids' }
const user = {
  ...common, uid: '1000', capabilities: '0000000000000000', cgroup: 'v2', delegated: 'cpu,memory,pids', userns: 'yes',
  user_mount: 'yes', user_overlay: 'yes', user_proc: 'yes', user_network: 'yes', memory_xattrs: 'yes',
  newuidmap: 'setuid /usr/bin/newuidmap', newgidmap: 'setuid /usr/bin/newgidmap',
}
const denied = { ...user, userns: 'no', userns_error: 'unshare EPERM' }

function findings(facts: Readonly<Record<string, string>>, lacking?: string): readonly Finding[] {
  const lines = Object.entries(facts).map(([name, value]) => `${name}=${value}\n`).join('')
  return conclude(lines, { program: '/opt/mayfly-native', lacking })
}

function short(facts: Readonly<Record<string, string>>, lacking?: string): readonly Finding[] {
  return findings(facts, lacking).filter(({ ok }) => !ok)
}

test.each([['root', root], ['a user with ranges and delegation', user]])('%s who has everything lacks nothing', (_who, facts) => {
  expect(short(facts)).toEqual([])
})

test('newuidmap may have its right as file capabilities', () => {
  expect(short({ ...user, newuidmap: 'capabilities /usr/bin/newuidmap', newgidmap: 'capabilities /usr/bin/newgidmap' })).toEqual([])
})

describe.each<[string, Readonly<Record<string, string>>, string, boolean, RegExp, string?]>([
  ['an old kernel', { ...root, kernel: '5.11.9' }, 'kernel', true, /5\.12/],
  ['no overlay', { ...root, overlay: 'no' }, 'overlay', true, /modprobe overlay/],
  ['no pids controller', { ...root, delegated: 'cpu,memory' }, 'limits', false, /Limits of pids are refused/],
  ['clone3 filtered', { ...root, clone3: 'no' }, 'clone3', true, /seccomp profile/],
  ['no TUN', { ...user, tun: 'no' }, 'tun', false, /modprobe tun/],
  ['namespaces limited to none', { ...denied, max_user_namespaces: '0' }, 'user namespaces', true, /user\.max_user_namespaces=15000/],
  ['more namespaces than allowed', { ...denied, userns_error: 'unshare ENOSPC' }, 'user namespaces', true, /raise the sysctl/],
  ['namespaces switched off, as in older Debian', { ...denied, unprivileged_userns_clone: '0' }, 'user namespaces', true, /kernel\.unprivileged_userns_clone=1/],
  ['AppArmor, as in Ubuntu 23.10', { ...denied, apparmor_restrict_userns: '1' }, 'user namespaces', true, /'\/opt\/mayfly-native' \| sudo tee \/etc\/apparmor\.d\/mayfly/],
  ['AppArmor that takes the rights only', { ...user, user_mount: 'EACCES', apparmor_restrict_userns: '1' }, 'user namespaces', true, /apparmor_parser -r/],
  ['an unprivileged container', { ...denied, container: 'docker', seccomp: '2' }, 'user namespaces', true, /--privileged, or with .*seccomp=unconfined/],
  ['root in such a container', { ...denied, uid: '0', capabilities: '00000000a80425fb' }, 'user namespaces', true, /--privileged/],
  ['root in a user namespace that has the right', { ...denied, uid: '0', capabilities: '000001ffffffffff', initial_userns: 'no' }, 'user namespaces', true, /surrounding container/],
  ['a kernel that refuses without a reason', denied, 'user namespaces', true, /run as root/],
  ['a masked /proc', { ...user, user_proc: 'EPERM' }, 'proc', true, /systempaths=unconfined/],
  ['overlay for root only', { ...user, user_overlay: 'ENODEV' }, 'overlay', true, /modules-load\.d/],
  ['no bridges', { ...user, user_network: 'EOPNOTSUPP' }, 'network', true, /modprobe -a bridge veth/],
  ['no ranges', user, 'users', false, /^Add these lines/, 'Add these lines as root'],
  ['newuidmap without its right', { ...user, newuidmap: 'plain /usr/bin/newuidmap' }, 'users', false, /chmod u\+s \/usr\/bin\/newuidmap/],
  ['no_new_privs', { ...user, no_new_privs: '1' }, 'users', false, /NoNewPrivileges=/],
  ['nothing delegated, v2', { ...user, delegated: 'memory,pids' }, 'limits', false, /Limits of cpu are refused.*\n.*user@\.service\.d[^]*Delegate=cpu cpuset io memory pids/],
  ['nothing delegated, v1', { ...user, delegated: '', cgroup: 'hybrid' }, 'limits', false, /unified_cgroup_hierarchy=1/],
  ['a tmpfs without user attributes', { ...user, memory_xattrs: 'ENOTSUP' }, 'memory layers', false, /6\.6/],
])('%s', (_what, facts, name, needed, mend, lacking) => {
  test(`is the one shortfall (${name}), with its mend`, () => {
    const [finding, ...others] = short(facts, lacking)
    expect(others).toEqual([])
    expect(finding).toMatchObject({ name, needed, mend: expect.stringMatching(mend) as string })
    expect(firstObstacle(findings(facts, lacking))?.name).toBe(needed ? name : undefined)
  })
})
