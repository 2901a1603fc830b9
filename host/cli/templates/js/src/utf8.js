// Text and its bytes: the engine has no TextEncoder and no TextDecoder.

/** The bytes of a text. Half a surrogate pair becomes the replacement character. */
export function encode(text) {
  const characters = unescape(encodeURIComponent(text.toWellFormed())); // one for each byte
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/** The text of these pieces of bytes together. Throws a `URIError` where they are not UTF-8. */
export function decode(pieces) {
  return decodeURIComponent(escape(pieces.map(characters).join("")));
}

/** One character for each byte. */
export function characters(bytes) {
  let text = "";
  // So many arguments can a call have in any engine.
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return text;
}
