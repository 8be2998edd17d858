// A box that scrolls must be reachable with the keyboard, and one that does not should not be in the way.
function markScrollBoxes() {
  for (const box of document.querySelectorAll(".scroll-box, .pst-scrollable-table-container, div.highlight pre")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
markScrollBoxes();
document.fonts.ready.then(markScrollBoxes);
addEventListener("resize", markScrollBoxes);
addEventListener("toggle", markScrollBoxes, true);
