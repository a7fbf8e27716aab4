import { parseSize, type RunningListing } from '@mayfly/core/engine'

const ZERO = '0001-01-01T00:00:00Z'

/** All there is to know of a container, in Docker's form. */
export async function containerDocument(one: RunningListing, size: boolean): Promise<object> {
  const { kept, state } = one
  const [path = '', ...words] = one.command
  return {
    Id: one.id,
    Created: one.createdAt?.toISOString() ?? '',
    Path: path,
    Args: words,
    State: {
      Status: state, Running: state === 'running' || state === 'paused', Paused: state === 'paused', Restarting: state === 'restarting', OOMKilled: one.oomKilled, Dead: false,
      ExitCode: state === 'running' || state === 'paused' ? 0 : one.exitCode, Error: kept?.ended?.error ?? '',
      ...(one.health === undefined ? {} : { Health: { Status: one.health.status, FailingStreak: one.health.failingStreak, Log: one.health.log.map(({ start, end, exitCode, output }) => ({ Start: start, End: end, ExitCode: exitCode, Output: output })) } }),
      Pid: await mainPid(one), StartedAt: one.startedAt?.toISOString() ?? ZERO, FinishedAt: one.exitedAt?.toISOString() ?? ZERO,
    },
    Image: one.imageId,
    Name: `/${one.name}`,
    RestartCount: kept?.restarts ?? 0,
    Driver: kept?.driver ?? 'overlay',
    Platform: 'linux',
    ...(size ? { SizeRw: await sizeOf(one) } : {}),
    Mounts: mounts(one),
    Config: {
      Hostname: one.inside?.hostname ?? kept?.options.hostname ?? one.id.slice(0, 12), User: kept?.options.user ?? '', Env: one.inside?.env ?? [],
      Tty: one.tty, OpenStdin: kept?.options.stdin ?? false, Cmd: one.command, Image: one.image, WorkingDir: one.inside?.workdir ?? '', Labels: one.labels,
      StopSignal: kept?.options.stopSignal, StopTimeout: kept?.stopTimeout === undefined ? undefined : kept.stopTimeout / 1000,
    },
    HostConfig: hostConfig(one),
    NetworkSettings: {
      IPAddress: one.ip, Ports: ports(one),
      Networks: Object.fromEntries(one.networks.map((name, at) => [name, { IPAddress: at === 0 ? one.ip : '', Aliases: kept?.options.aliases ?? [] }])),
    },
    Owner: { Pid: one.ownerPid, Run: one.runId },
  }
}

/** Of its first process, on this machine; 0 when it has none. */
async function mainPid({ id, state }: RunningListing): Promise<number> {
  if (state !== 'running' && state !== 'paused') return 0
  const { openContainer } = await import('@mayfly/core/engine')
  await using container = await openContainer(id)
  return (await container.top()).find(({ pid }) => pid === 1)?.hostPid ?? 0
}

async function sizeOf(one: RunningListing): Promise<number> {
  const { changesSize } = await import('@mayfly/core/engine')
  return await changesSize(one) ?? 0
}

function ports({ ports: all }: RunningListing): Readonly<Record<string, readonly { readonly HostIp: string, readonly HostPort: string }[]>> {
  const found: Record<string, { HostIp: string, HostPort: string }[]> = {}
  for (const { container, protocol, host, number } of all) (found[`${container}/${protocol}`] ??= []).push({ HostIp: host, HostPort: String(number) })
  return found
}

function mounts({ kept }: RunningListing): readonly object[] {
  return [
    ...(kept?.options.mounts ?? []).map((one) => ('source' in one ? { Type: 'bind', Source: one.source, Destination: one.target, RW: one.readonly !== true, Propagation: one.propagation ?? 'rprivate' }
      : { Type: 'volume', Name: typeof one.volume === 'string' ? one.volume : one.volume?.name ?? '', Destination: one.target, Driver: 'local', RW: one.readonly !== true })),
    ...(kept?.options.tmpfs ?? []).map((text) => ({ Type: 'tmpfs', Destination: text.split(':')[0], RW: true })),
  ]
}

/** What a container that is kept was asked for; of others nobody but their owner knows. */
function hostConfig({ kept, networks }: RunningListing): object {
  const { options, restart, remove } = { options: {}, restart: { name: 'no' as const }, remove: false, ...kept } as Pick<NonNullable<RunningListing['kept']>, 'options' | 'restart' | 'remove'>
  const bytes = (size: number | string | undefined): number => (size === undefined ? 0 : size === -1 ? -1 : parseSize(size))
  return {
    NetworkMode: networks[0] ?? 'bridge', AutoRemove: remove, RestartPolicy: { Name: restart.name, MaximumRetryCount: restart.most ?? 0 },
    Memory: bytes(options.memory), MemoryReservation: bytes(options.memoryReservation), MemorySwap: bytes(options.memorySwap), ShmSize: bytes(options.shmSize ?? '64m'),
    NanoCpus: Math.round((options.cpus ?? 0) * 1e9), CpuShares: options.cpuShares ?? 0, CpuPeriod: options.cpuPeriod ?? 0, CpuQuota: options.cpuQuota ?? 0,
    CpusetCpus: options.cpusetCpus ?? '', CpusetMems: options.cpusetMems ?? '', BlkioWeight: options.blkioWeight ?? 0, PidsLimit: options.pids ?? 4096, OomScoreAdj: options.oomScoreAdj ?? 0,
    Privileged: options.privileged ?? false, ReadonlyRootfs: options.readonly ?? false, Init: options.init ?? false, CapAdd: options.capAdd ?? [], CapDrop: options.capDrop ?? [],
    SecurityOpt: [...(options.noNewPrivileges === true ? ['no-new-privileges'] : []), ...(typeof options.seccomp === 'string' && options.seccomp !== 'default' ? [`seccomp=${options.seccomp}`] : [])],
    IpcMode: options.ipc ?? 'private', PidMode: options.pid ?? '', UTSMode: options.uts ?? '', GroupAdd: (options.groupAdd ?? []).map(String),
    Dns: options.dns ?? [], DnsSearch: options.dnsSearch ?? [], DnsOptions: options.dnsOptions ?? [], ExtraHosts: Object.entries(options.extraHosts ?? {}).map(([name, ip]) => `${name}:${ip}`),
    Ulimits: Object.entries(options.ulimits ?? {}).map(([Name, limit]) => (typeof limit === 'number' ? { Name, Soft: limit, Hard: limit } : { Name, Soft: limit.soft, Hard: limit.hard })),
    Sysctls: options.sysctls ?? {}, Devices: options.devices ?? [],
  }
}
