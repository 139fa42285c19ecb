/** The text of a content field of an API: a string, a part, or a list of them, at any depth. */
export function textOf(content) {
  if (typeof content === 'string') return content;
  if (Array.isArray(content)) return content.map(textOf).join('\n');
  if (typeof content !== 'object' || content === null) return '';
  return textOf(content.text ?? content.content ?? content.output ?? Object.values(content));
}
