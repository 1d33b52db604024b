/**
 * Generates docs/messages.md: every sentence of the source that a program can show to a person, by module.
 */
import { filesAt } from "./files.ts"
import { isGenerated } from "./generated.ts"
import { messagesOf } from "./prose.ts"

export const MESSAGES = "docs/messages.md"

const isShown = (path: string): boolean => !isGenerated(path) && !path.startsWith("src/testing/")

/** A message in a code span of a list. */
const item = (message: string): string => {
  const ticks = message.includes("`") ? "``" : "`"
  return `- ${ticks}${ticks === "`" ? message : ` ${message} `}${ticks}`
}

export const renderMessages = (): string => {
  const sections = filesAt("src/**/*.ts").filter(({ path }) => isShown(path)).flatMap((file) => {
    const messages = messagesOf(file)
    return messages.length === 0 ? [] : [`## ${file.path}\n\n${messages.map(item).join("\n")}\n`]
  })
  return [
    "# Messages\n\nThe errors, hints, advice, progress and help texts of kubelayer, generated from its source. " +
    "`{name}` is replaced by a value.\n",
    ...sections
  ].join("\n")
}
