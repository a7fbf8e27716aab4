/** A pattern over whole paths: `*` and `?` within a name, `**` over any depth, classes, and `\` before a character. */
export function globPattern(glob: string): RegExp {
  let out = ''
  for (let at = 0; at < glob.length; at += 1) {
    const character = glob[at] ?? ''
    if (glob.startsWith('**', at)) {
      at += 1
      // `**/` also stands for no directory at all.
      if (glob[at + 1] === '/') {
        at += 1
        out += '(?:.*/)?'
      } else out += '.*'
    } else if (character === '*') out += '[^/]*'
    else if (character === '?') out += '[^/]'
    else if (character === '\\') {
      at += 1
      out += literal(glob[at] ?? '\\')
    } else if (character === '[') {
      const end = glob.indexOf(']', at + 2)
      if (end < 0) out += '\\['
      else {
        out += `[${glob.slice(at + 1, end).replace(/[\\[]/g, '\\$&')}]`
        at = end
      }
    } else out += literal(character)
  }
  return new RegExp(`^${out}$`, 's')
}

function literal(character: string): string {
  return character.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&')
}
