// Makes elements without ever reading HTML: text is text, whatever it says. The page's content security policy requires
// trusted types and defines none, so the browser itself refuses `innerHTML` and its like.

/** An element with attributes and children; a string among the children becomes text. `false` and `null` leave an attribute out. */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** Sets a text where it differs: what did not change keeps its selection, and is not announced again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
