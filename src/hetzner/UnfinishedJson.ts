/**
 * Detects a JSON text that stops before its end: the transport reported success, but the rest of the body is missing.
 */

/** Whether the text begins as an object or a list and ends inside of it, or inside of a string. */
export const isUnfinishedJson = (text: string): boolean => {
  const trimmed = text.trim()
  if (!trimmed.startsWith("{") && !trimmed.startsWith("[")) return false
  let depth = 0
  let isInString = false
  for (let index = 0; index < trimmed.length; index++) {
    const letter = trimmed[index]
    if (isInString) {
      if (letter === "\\") index++
      else if (letter === "\"") isInString = false
    } else if (letter === "\"") isInString = true
    else if (letter === "{" || letter === "[") depth++
    else if (letter === "}" || letter === "]") depth--
  }
  return isInString || depth > 0
}
