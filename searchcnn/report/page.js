// Unpacks Plotly and draws the plots, in the colours of the page.
const read = id => document.getElementById(id).textContent;
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function paint(layout) {
  const painted = {...layout, font: {color: colour("ink"), size: 13, family: "system-ui, sans-serif"}};
  painted.paper_bgcolor = painted.plot_bgcolor = "rgba(0,0,0,0)";
  painted.hoverlabel = {...layout.hoverlabel, bgcolor: colour("card"), font: {color: colour("ink")}};
  for (const name of Object.keys(layout).concat("xaxis", "yaxis").filter(key => /^[xy]axis/.test(key)))
    painted[name] = {...layout[name], gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line")};
  return painted;
}

function draw() {
  const look = {responsive: true, displayModeBar: false};
  return Promise.all([...document.querySelectorAll(".plot")].map(place => {
    const {data, layout} = JSON.parse(read(`data-${place.dataset.name}`));
    return Plotly.react(place, data, paint(layout), look);
  }));
}

async function start() {
  const script = document.createElement("script");
  script.textContent = await unpack(read("plotly"));
  document.head.append(script);
  await draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", draw);
  addEventListener("afterprint", draw);
  document.body.dataset.drawn = "yes";
}

start().catch(error => {
  for (const place of document.querySelectorAll(".plot"))
    place.textContent = `This plot needs a browser of 2023 or later (${error.message}).`;
});
document.getElementById("look")?.addEventListener("click", () => document.body.classList.toggle("glowing"));
