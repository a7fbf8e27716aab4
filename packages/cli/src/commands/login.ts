import { createInterface } from 'node:readline'

interface Flags {
  readonly username?: string
  readonly password?: string
  readonly passwordStdin?: boolean
}

/** `mayfly login`: tries the credentials, and keeps them where Docker's commands find them. */
export async function login(registry = 'docker.io', flags: Flags = {}): Promise<void> {
  const { login: keep } = await import('@mayfly/core/engine')
  const host = hostOf(registry)
  if (flags.passwordStdin === true && flags.password !== undefined) throw invalid('--password and --password-stdin exclude each other')
  if (flags.passwordStdin === true && flags.username === undefined) throw invalid('--password-stdin needs --username')
  const username = flags.username ?? await asked('Username: ', false)
  const password = flags.passwordStdin === true ? (await all()).replace(/\r?\n$/, '') : flags.password ?? await asked('Password: ', true)
  if (flags.password !== undefined) process.stderr.write('A password on the command line is seen by others: use --password-stdin.\n')
  if (username === '' || password === '') throw invalid('A user name and a password are needed')
  const { kept } = await keep(host, { username, password })
  if ('file' in kept) process.stderr.write(`The password stands unencrypted in ${kept.file}. A credential helper keeps it better.\n`)
  process.stdout.write('Login Succeeded\n')
}

export async function logout(registry = 'docker.io'): Promise<void> {
  const { logout: forget } = await import('@mayfly/core/engine')
  const host = hostOf(registry)
  const known = await forget(host)
  process.stdout.write(known ? `Removed the login credentials for ${host}\n` : `Not logged in to ${host}\n`)
}

/** As people write it: with a scheme or a path, or Docker Hub's own name. */
function hostOf(text: string): string {
  const host = text.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host
}

async function all(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function asked(question: string, hidden: boolean): Promise<string> {
  if (!process.stdin.isTTY) throw invalid(`${question.replace(': ', '')} is missing, and there is no terminal to ask at`)
  return new Promise((resolve) => {
    const reader = createInterface({ input: process.stdin, output: process.stderr, terminal: true })
    if (hidden) {
      const output = reader as unknown as { _writeToOutput(text: string): void }
      output._writeToOutput = (text) => { if (text.includes(question)) process.stderr.write(text) }
    }
    reader.question(question, (answer) => {
      reader.close()
      if (hidden) process.stderr.write('\n')
      resolve(answer.trim())
    })
  })
}

function invalid(message: string): Error {
  return Object.assign(new Error(message), { code: 'ERR_MAYFLY_OPTION_INVALID', hint: 'echo "$PASSWORD" | mayfly login -u NAME --password-stdin REGISTRY' })
}
