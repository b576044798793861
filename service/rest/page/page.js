const byId = (id) => document.getElementById(id);
const colours = ["#00c48c", "#ffb300", "#3d8bfd", "#e83e8c", "#9b59b6"];

let latest = 0;
let shown = null;

async function show(file) {
  const turn = ++latest;
  shown = file;
  say("Looking …");
  try {
    const found = await ask("v1/crop?detections=5", file).then((r) => r.json());
    const crop = found.crop ? await ask("v1/crop?output=image", file).then((r) => r.blob()) : null;
    const matches = await search(file);
    if (turn !== latest) return;
    await draw(file, found);
    list(found);
    showCrop(crop);
    showMatches(matches);
    byId("result").hidden = false;
    const works = found.detections.length;
    say(works === 0 ? "No artwork was found." : works === 1 ? "One work was found." : `${works} works were found.`);
  } catch (error) {
    if (turn !== latest) return;
    byId("result").hidden = true;
    byId("key").hidden = error.status !== 401;
    say(error.message, true);
  }
}

async function ask(path, file) {
  const key = sessionStorage.getItem("key");
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (file) headers["Content-Type"] = "application/octet-stream";
  const response = await fetch(path, { method: file ? "POST" : "GET", body: file, headers });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const error = new Error([problem.title ?? `Status ${response.status}`, problem.detail].filter(Boolean).join(": "));
  throw Object.assign(error, { status: response.status });
}

// null where this server has no catalogue, or one that cannot be searched now.
async function search(file) {
  try {
    const { matches } = await ask("v1/search?limit=5&photos=1", file).then((r) => r.json());
    return await Promise.all(matches.map(async (match) => ({ ...match, picture: await pictureOf(match) })));
  } catch {
    return null;
  }
}

async function pictureOf({ work, photos }) {
  const path = `v1/works/${encodeURIComponent(work.id)}/photos/${encodeURIComponent(photos[0].id)}/crop`;
  return ask(path).then((r) => r.blob(), () => null);
}

async function draw(file, found) {
  const canvas = byId("photo");
  const { width, height } = found.image;
  const scale = Math.min(1, 1200 / Math.max(width, height));
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  try {
    // Browsers turn a photo upright by themselves, as the service does.
    context.drawImage(await createImageBitmap(file), 0, 0, canvas.width, canvas.height);
  } catch {
    // A format that this browser cannot show (HEIC, TIFF): the boxes alone.
    context.fillStyle = "#888";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  context.lineWidth = Math.max(2, canvas.width / 250);
  context.font = `${Math.max(12, canvas.width / 50)}px system-ui`;
  found.detections.forEach(({ label, box }, i) => {
    const [x1, y1, x2, y2] = box.map((edge) => edge * scale);
    context.strokeStyle = context.fillStyle = colours[i % colours.length];
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.fillText(`${i + 1} ${label}`, x1 + 6, y2 - 8);
  });
}

function list(found) {
  byId("works").replaceChildren(...found.detections.map(({ label, score, salience, box }, i) => {
    const row = document.createElement("tr");
    for (const text of [`${i + 1} ${label}`, score.toFixed(2), salience.toFixed(2), box.map(Math.round).join(", ")]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
  byId("timings").textContent = Object.entries(found.timings_ms).map(([stage, ms]) => `${stage} ${ms} ms`).join(" · ");
  byId("answer").textContent = JSON.stringify(found, null, 2);
}

function showCrop(blob) {
  const image = byId("crop");
  const save = byId("save");
  if (image.src) URL.revokeObjectURL(image.src);
  image.hidden = save.hidden = !blob;
  if (!blob) return;
  image.src = save.href = URL.createObjectURL(blob);
}

function showMatches(matches) {
  byId("matches").querySelectorAll("img[src]").forEach((image) => URL.revokeObjectURL(image.src));
  byId("catalogue").hidden = !matches?.length;
  byId("matches").replaceChildren(...(matches ?? []).map(({ work, similarity, picture }) => {
    const item = document.createElement("li");
    const image = item.appendChild(document.createElement("img"));
    image.alt = "";
    if (picture) image.src = URL.createObjectURL(picture);
    const title = item.appendChild(document.createElement("strong"));
    title.textContent = work.title || work.id;
    const more = item.appendChild(document.createElement("small"));
    more.textContent = [work.artist, work.year, `similarity ${similarity.toFixed(2)}`].filter(Boolean).join(", ");
    return item;
  }));
}

function say(text, isError = false) {
  byId("message").textContent = text;
  byId("message").classList.toggle("error", isError);
}

byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", byId("secret").value);
  byId("key").hidden = true;
  if (shown) show(shown);
});
const drop = byId("drop");
byId("file").addEventListener("change", (event) => event.target.files[0] && show(event.target.files[0]));
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragover");
    if (type === "drop" && event.dataTransfer.files[0]) show(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => event.clipboardData.files[0] && show(event.clipboardData.files[0]));
