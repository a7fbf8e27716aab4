import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { ROOT } from './disk.mjs'

/**
 * @typedef {{ kernel: string, root: string, work: string, images: string, plan: object, console: string }} Machine
 *   paths of the kernel and the disks; plan: what the guest is told; console: file that takes the kernel's console
 */

/**
 * Boots a machine without hardware help and lets it run to its end. The disks are not written to.
 * @param {Machine} machine
 * @param {(line: string) => void} line  called with each line the guest prints on its second serial line
 * @returns {Promise<string | undefined>}  why it did not end by itself
 */
export async function boot(machine, line) {
  const disks = { root: machine.root, work: machine.work, images: machine.images }
  const serial = `${machine.console}.serial`
  const plan = Buffer.from(JSON.stringify(machine.plan)).toString('base64url')
  const words = [
    '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '3072', '-nodefaults', '-display', 'none', '-no-reboot',
    '-kernel', machine.kernel,
    // NVMe and ext4 are built into Debian's cloud kernels: no initramfs is needed.
    '-append', `root=PARTUUID=${ROOT} rw console=ttyS0 panic=-1 mitigations=off systemd.show_status=0 mayfly=${plan}`,
    ...Object.entries(disks).flatMap(([name, path]) => [
      '-drive', `file=${path},format=raw,if=none,id=${name},snapshot=on`, '-device', `nvme,serial=${name},drive=${name}`,
    ]),
    '-serial', `file:${machine.console}`, '-serial', `file:${serial}`,
  ]
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', ...words], { stdio: ['ignore', 'ignore', 'pipe'] })
  let complaint = ''
  child.stderr.on('data', (chunk) => { complaint = (complaint + chunk).slice(-2000) })
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('close', (code, signal) => resolve(code === 0 ? undefined : complaint.trim() || `the machine ended with ${code ?? signal}`))
  })
  const reader = follow(serial, line)
  let silent
  const watch = setInterval(() => {
    if (!reader.read() && Date.now() - reader.heard > machine.plan.silence * 1000) {
      silent = `nothing was heard of the machine for ${machine.plan.silence} s`
      child.kill('SIGKILL')
    }
  }, 200)
  try {
    const trouble = await ended
    reader.read()
    return silent ?? trouble
  } finally {
    clearInterval(watch)
    reader.close()
    rmSync(serial, { force: true })
  }
}

/** Calls `line` for whole lines of a growing file. */
function follow(path, line) {
  const buffer = Buffer.alloc(65536)
  let fd, rest = ''
  const reader = {
    heard: Date.now(),
    /** True when there was something new. */
    read() {
      try {
        fd ??= openSync(path)
      } catch {
        return false
      }
      let any = false
      for (let n; (n = readSync(fd, buffer)) > 0; any = true) rest += buffer.toString('latin1', 0, n)
      const lines = rest.split(/\r?\n/)
      rest = lines.pop()
      for (const one of lines) line(Buffer.from(one, 'latin1').toString('utf8'))
      if (any) reader.heard = Date.now()
      return any
    },
    close: () => { if (fd !== undefined) closeSync(fd) },
  }
  return reader
}

/** What the kernel complained of on its console. @param {string} path */
export function complaints(path) {
  return readFileSync(path, 'utf8').split(/\r?\n/).filter((text) => /Kernel panic|\bBUG:|\bOops\b|WARNING: CPU/.test(text))
}
