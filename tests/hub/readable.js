// What a page shows, into {contrast: the least of each kind of text, nameless: what has no name}.
() => {
  const numbers = (text) => (text.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const luminance = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => sum + part * linear(rgb[i] / 255), 0);
  const over = (below, [r, g, b, alpha = 1]) => [r, g, b].map((c, i) => c * alpha + below[i] * (1 - alpha));
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(numbers(getComputedStyle(at).backgroundColor));
    return layers.reduce(over, [255, 255, 255]);
  };
  const opacity = (element) => {
    let left = 1;
    for (let at = element; at; at = at.parentElement) left *= Number(getComputedStyle(at).opacity);
    return left;
  };
  const contrast = {};
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const hidden = !element.getClientRects().length || element.closest(".sr, title, option");
    if (!texts.currentNode.data.trim() || hidden) continue;
    const style = getComputedStyle(element);
    const back = behind(element);
    const [r, g, b, alpha = 1] = numbers(element instanceof SVGElement ? style.fill : style.color);
    const ink = over(back, [r, g, b, alpha * opacity(element)]);
    const [dark, light] = [luminance(ink), luminance(back)].sort((x, y) => x - y);
    const kind = `${element.tagName}.${element.getAttribute("class") ?? ""}`;
    contrast[kind] = Math.min(contrast[kind] ?? 99, (light + 0.05) / (dark + 0.05));
  }
  const used = "a, button, input:not([type=hidden]), select, svg, [tabindex='0']";
  const named = (each) => each.getAttribute("aria-label") || each.getAttribute("aria-labelledby")
    || each.labels?.length || each.textContent.trim();
  const nameless = [...document.querySelectorAll(used)]
    .filter((each) => !each.closest("[aria-hidden=true]") && !named(each))
    .map((each) => each.outerHTML.slice(0, 90));
  return { contrast, nameless };
}
