// Elements without markup: what is said of a picture or a user is always text.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. An attribute `onclick` is a listener, one that is `false`, `null` or `undefined` is left out, and
 * children that are `null` or `false` are passed over.
 */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...shown(children));
  return element;
}

function shown(children) {
  return children.flat(2).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Puts these children in place of what is there. */
export function put(element, ...children) {
  element.replaceChildren(...shown(children));
}

/** Sets a text only when it is another: a live region that is set again is read again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let count = 0;

/** For a label and what it labels. */
export function freshId(prefix) {
  count += 1;
  return `${prefix}-${count}`;
}
