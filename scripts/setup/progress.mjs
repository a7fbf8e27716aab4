/**
 * One line per step with its duration; on a terminal the running step is shown live.
 * @param {{ quiet: boolean, out?: NodeJS.WriteStream }} options
 */
export function progress({ quiet, out = process.stdout }) {
  const live = out.isTTY === true && !process.env.CI && !quiet
  const print = (text) => { if (!quiet) out.write(`${text}\n`) }
  return {
    note: print,
    /** @param {string} title */
    start(title) {
      const began = performance.now()
      let doing = ''
      const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`
      const draw = () => out.write(`\r\x1b[K${title} … ${seconds()} ${doing}`.slice(0, (out.columns ?? 80) + 4))
      const timer = live ? setInterval(draw, 200) : undefined
      const end = (text) => {
        clearInterval(timer)
        if (live) out.write('\r\x1b[K')
        print(text)
      }
      return {
        /** @param {string} text  what is being done within the step */
        say(text) {
          doing = text
          if (live) draw()
          else print(`  ${title}: ${text}`)
        },
        /** @param {string} [result] */
        done: (result) => end(`${title.padEnd(16)} ${seconds().padStart(8)}  ${result ?? 'done'}`),
        failed: () => end(`${title.padEnd(16)} ${seconds().padStart(8)}  failed`),
      }
    },
  }
}
