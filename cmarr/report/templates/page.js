(function () {
  var root = document.documentElement;
  var button = document.getElementById("theme");
  function stored(value) {
    try {
      if (value === undefined) return localStorage.getItem("cmarr-theme");
      localStorage.setItem("cmarr-theme", value);
    } catch (error) {
      return null; // a page opened from a disk may have no storage
    }
  }
  function dark() {
    return root.dataset.theme
      ? root.dataset.theme === "dark"
      : window.matchMedia("(prefers-color-scheme: dark)").matches;
  }
  function show() {
    button.textContent = dark() ? "Light" : "Dark";
    button.setAttribute("aria-label", dark() ? "Switch to the light theme" : "Switch to the dark theme");
  }
  var known = stored();
  if (known === "dark" || known === "light") root.dataset.theme = known;
  button.hidden = false;
  button.addEventListener("click", function () {
    root.dataset.theme = dark() ? "light" : "dark";
    stored(root.dataset.theme);
    show();
  });
  show();

  function measure() {
    document.querySelectorAll(".scroll").forEach(function (table) {
      table.previousElementSibling.hidden = table.scrollWidth <= table.clientWidth + 1;
    });
  }
  measure();
  window.addEventListener("resize", measure);
  document.querySelectorAll("details").forEach(function (fold) {
    fold.addEventListener("toggle", measure); // what is folded away has no width
  });

  var contents = document.querySelector("nav details");
  if (window.matchMedia("(max-width: 70rem)").matches) contents.open = false;
  var links = {};
  document.querySelectorAll("nav a[href^='#']").forEach(function (link) {
    links[link.getAttribute("href").slice(1)] = link;
    link.addEventListener("click", function () {
      if (window.matchMedia("(max-width: 70rem)").matches) contents.open = false;
    });
  });
  if (!("IntersectionObserver" in window)) return;
  var watch = new IntersectionObserver(
    function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) return;
        Object.keys(links).forEach(function (id) {
          if (id === entry.target.id) links[id].setAttribute("aria-current", "true");
          else links[id].removeAttribute("aria-current");
        });
      });
    },
    { rootMargin: "-10% 0px -80% 0px" }
  );
  document.querySelectorAll("main section[id]").forEach(function (section) {
    watch.observe(section);
  });
})();
