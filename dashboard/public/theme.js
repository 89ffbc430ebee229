// Chooses the theme before anything is painted. `src/app/settings.ts` takes over from here.
(function () {
  var chosen = null;
  try {
    chosen = localStorage.getItem("conduit.theme");
  } catch (error) {
    // Storage is switched off: the system's theme it is.
  }
  var dark = chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
