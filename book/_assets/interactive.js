/* Loads what a page's interactive parts need, and nothing on other pages. Works from file:// and under a sub-path. */
"use strict";

(() => {
  const here = document.currentScript.src;
  const parts = {
    "#planner": ["planner.css", "planner-data.js", "planner-law.js", "planner-chart.js", "planner.js"],
    ".shown.board fieldset": ["board.js"],
  };
  const add = (name) => {
    const style = name.endsWith(".css");
    const node = document.createElement(style ? "link" : "script");
    if (style) node.rel = "stylesheet";
    else node.async = false;  // in order
    node[style ? "href" : "src"] = new URL(name, here);
    document.head.append(node);
  };
  for (const [selector, files] of Object.entries(parts)) if (document.querySelector(selector)) files.forEach(add);
})();
