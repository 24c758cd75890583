"""What a page owes to people who read it by ear, by keyboard or with tired eyes (WCAG 2.2 A and AA, as far as a program sees)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

_FAULTS = r"""
() => {
  const faults = [];
  const say = (rule, element) => faults.push(rule + ": " + (element.outerHTML || element).slice(0, 120));
  const all = selector => [...document.querySelectorAll(selector)];
  if (!["nb", "en"].includes(document.documentElement.lang)) say("3.1.1 language of the page", document.documentElement.lang);
  if (!document.title.trim()) say("2.4.2 title", "no title");
  if (all("h1").length !== 1) say("1.3.1 one first heading", String(all("h1").length));
  if (all("main").length !== 1) say("1.3.1 one main part", String(all("main").length));
  let level = 0;
  for (const heading of all("h1,h2,h3,h4")) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) say("1.3.1 order of headings", heading);
    level = own;
  }
  for (const input of all("input:not([type=hidden]),select,textarea")) {
    if (!input.labels.length || !input.labels[0].textContent.trim()) say("1.3.1 label", input);
    if (input.type === "radio" && !(input.closest("fieldset") && input.closest("fieldset").querySelector("legend")))
      say("1.3.1 group of choices", input);
  }
  for (const control of all("a[href],button")) {
    if (!control.textContent.trim()) say("4.1.2 name", control);
    if (control.tabIndex < 0) say("2.1.1 keyboard", control);
  }
  for (const control of all("a[href],button,input:not([type=hidden])")) {
    const box = control.getBoundingClientRect();
    if (control.type !== "radio" && (box.width < 24 || box.height < 24)) say("2.5.8 size", control);
  }
  const ids = all("[id]").map(element => element.id);
  for (const id of new Set(ids)) if (ids.filter(other => other === id).length > 1) say("id twice", id);
  for (const element of all("[aria-labelledby],[aria-describedby]"))
    for (const name of ["aria-labelledby", "aria-describedby"])
      for (const id of (element.getAttribute(name) || "").split(" ").filter(Boolean))
        if (!document.getElementById(id)) say("1.3.1 reference", element);
  if (document.scrollingElement.scrollWidth > innerWidth) say("1.4.10 reflow", String(document.scrollingElement.scrollWidth));

  const numbers = colour => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map(part => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let node = element; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim()) continue;
    const [a, b] = [luminance(numbers(getComputedStyle(element).color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) say("1.4.3 contrast " + ratio.toFixed(2), element);
  }
  return faults;
}
"""
_FOCUS = """
() => {
  const element = document.activeElement, style = getComputedStyle(element);
  return [element.id, style.outlineStyle, parseFloat(style.outlineWidth)];
}
"""


def faults_of(page: "Page") -> list[str]:
    """Everything a page owes and does not give, one line each."""
    faults: list[str] = page.evaluate(_FAULTS)
    # Where a page sets the focus is where the walk begins.
    reached = [page.evaluate("document.activeElement.id")]
    for _ in range(60):
        page.keyboard.press("Tab")
        ident, style, width = page.evaluate(_FOCUS)
        if not ident or ident in reached:
            break
        reached.append(ident)
        if style == "none" or width < 2:
            faults.append(f"2.4.7 focus is not seen: {ident}")
    controls: list[str] = page.evaluate(
        "() => [...document.querySelectorAll('a[href],button,input:not([type=hidden]):not([type=radio])')].map(x => x.id)"
    )
    faults += [f"2.1.1 not reached by Tab: {ident}" for ident in controls if ident not in reached]
    return faults
