"""Scenes composed on the fly: a wall or a room, works and objects in it, seen by a phone's camera.

`make_scene(assets, seed, index)` is a pure function of its arguments: the same scene comes out in any process,
which is what makes runs reproducible and lets any number of workers share the work.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lexicrop_training import art, photo, things
from lexicrop_training.assets import Assets

Rng = np.random.Generator
PAINTING, OBJECT = 1, 2

# Share of each kind of scene. Real phone photos of paintings are mostly "single" and "pair"; "wall" and "small"
# are where detectors were weakest.
KINDS = {
    "single": 0.21, "pair": 0.10, "wall": 0.14, "small": 0.08, "object-photo": 0.25, "object-scene": 0.18,
    "empty": 0.04,
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """boxes float32 [n,4] xyxy in pixels of `image` (RGB uint8), clipped to it, what one sees inside the frame;
    outer the same with the frame; labels int64 [n], 1 or 2; visible float32 [n], share of each work inside the
    picture; kind, one of KINDS."""

    image: np.ndarray
    boxes: np.ndarray
    outer: np.ndarray
    labels: np.ndarray
    visible: np.ndarray
    kind: str


@dataclass(frozen=True)
class Placed:
    """A work in the photo: convex outlines [k,2] in its pixels, without and with the frame; label 1 or 2."""

    inner: np.ndarray
    outer: np.ndarray
    label: int


def make_scene(
    assets: Assets, seed: int, index: int, kind: str | None = None, shares: dict[str, float] = KINDS
) -> Scene:
    """The scene of that number; of this kind, or of one drawn by `shares`."""
    rng = np.random.default_rng((seed, index))
    if kind is None:
        kind = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    if kind.startswith("object") and not (assets.cutouts and assets.object_photos):
        kind = "single"
    width, height = _photo_size(rng)
    makers = {
        "object-photo": _object_photo, "object-scene": _object_scene,
    }  # fmt: skip
    maker = makers.get(kind, _hanging)
    image, placed = maker(rng, assets, width, height, kind)
    image = photo.taken(rng, photo.lit(rng, image))
    boxes, visible = boxes_of([p.inner for p in placed], width, height)
    outer, _ = boxes_of([p.outer for p in placed], width, height)
    labels = np.array([p.label for p in placed], np.int64)
    seen = (visible > 0) & (boxes[:, 2:] - boxes[:, :2] > 1).all(1)
    boxes, outer, labels, visible = boxes[seen], outer[seen], labels[seen], visible[seen]
    if rng.random() < 0.5:
        image = np.ascontiguousarray(image[:, ::-1])
        for b in (boxes, outer):
            b[:, [0, 2]] = width - b[:, [2, 0]]
    return Scene(image, boxes, outer, labels, visible, kind)


def boxes_of(outlines: list[np.ndarray], width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounding boxes [n,4] of what is inside of the picture of convex outlines [k,2], and how much of each is.

    The outline is clipped before it is boxed: of a slanted work cut by the edge, the box of the rest is smaller
    than the rest of the box.
    """
    picture = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    boxes, visible = np.zeros((len(outlines), 4), np.float32), np.zeros(len(outlines), np.float32)
    for i, outline in enumerate(outlines):
        hull = cv2.convexHull(outline.astype(np.float32))
        area, inside = cv2.intersectConvexConvex(hull, picture)
        if area > 0:
            points = inside.reshape(-1, 2)
            boxes[i] = np.concatenate([points.min(0), points.max(0)]).clip(0, [width, height] * 2)
            visible[i] = min(1.0, area / max(cv2.contourArea(hull), 1e-6))
    return boxes, visible


# --- works on a wall ---


def _hanging(rng: Rng, assets: Assets, width: int, height: int, kind: str) -> tuple[np.ndarray, list[Placed]]:
    works, places = _hang(rng, assets, kind)
    room = rng.random() < (0.15 if kind == "wall" else 0.25)
    yaw_limit = {"single": 0.45, "pair": 0.5, "wall": 0.8, "small": 0.6, "empty": 0.4}[kind]
    view = _view(rng, yaw_limit, places)
    extent = np.concatenate([view_points(view, _corners(p)) for p in places]) if places else None
    view = _aim(rng, view, extent, width, height, kind, places)
    if room:
        image = _room(rng, assets, width, height)
    else:
        image = _wall(rng, view, width, height)
        if rng.random() < 0.35:
            _furnish(rng, assets, image, view, places)
    placed = []
    drop, soft = rng.uniform(-0.02, 0.06, 2), rng.uniform(0.004, 0.02)
    for work, place in zip(works, places, strict=True):
        hung = _paste_work(rng, image, work, place, view, drop, soft)
        if hung is not None:
            placed.append(hung)
    if rng.random() < 0.4:
        _captions(rng, image, view, places)
    return image, placed


def _hang(rng: Rng, assets: Assets, kind: str) -> tuple[list[art.Work], list[np.ndarray]]:
    """Works and their places on the wall, xyxy in wall units, one unit about the side of a work."""
    count = {
        "single": 1 if rng.random() < 0.75 else 2, "pair": 2 if rng.random() < 0.75 else 3,
        "wall": int(rng.integers(3, 10)), "small": int(rng.integers(1, 4)), "empty": 0,
    }[kind]  # fmt: skip
    across = rng.random() < 0.65
    columns = {1: 1, 2: 2 if across else 1, 3: 3 if across else int(rng.integers(1, 3))}.get(
        count, int(rng.integers(2, 5))
    )
    gap = rng.uniform(0.05, 0.5) if kind == "wall" else rng.uniform(0.08, 0.9)
    alike = rng.random() < 0.4
    works, places = [], []
    side = 300.0 if count == 1 else 200.0 if count < 4 else 130.0
    x = y = tallest = 0.0
    for i in range(count):
        work = art.framed(rng, art.picture(rng, assets), side)
        h, w = work.image.shape[:2]
        size = 1.0 if alike else float(np.exp(rng.normal(0, 0.3)))
        scale = size / np.sqrt(h * w)
        w, h = w * scale, h * scale
        if i % columns == 0 and i:
            x, y, tallest = rng.uniform(-0.3, 0.3), y + tallest + gap, 0.0
        lift = rng.uniform(-0.15, 0.15) if count < 4 else rng.uniform(-0.05, 0.05)
        places.append(np.array([x, y + lift, x + w, y + lift + h]))
        works.append(work)
        x += w + gap * rng.uniform(0.6, 1.4)
        tallest = max(tallest, h)
    return works, places


def _aim(
    rng: Rng, view: np.ndarray, extent: np.ndarray | None, width: int, height: int, kind: str, places: list
) -> np.ndarray:
    """Moves and scales the view so that what was meant fills the wished part of the photo."""
    if extent is None:
        return _similarity(width / 2, width / 2, height / 2) @ view
    target = extent
    if kind == "single":
        target = view_points(view, _corners(places[int(rng.integers(len(places)))]))
        share = rng.uniform(1.0, 1.25) if rng.random() < 0.13 else 1.0 - 0.58 * rng.random() ** 1.4
    elif kind == "pair":
        share = rng.uniform(0.6, 1.15)
    elif kind == "wall":
        share = rng.uniform(0.75, 1.9)
    else:
        share = rng.uniform(0.10, 0.42) * (1 + 0.5 * (len(places) - 1))
    low, high = target.min(0), target.max(0)
    scale = share * min(width / (high[0] - low[0]), height / (high[1] - low[1]))
    size = (high - low) * scale
    slack = np.maximum(np.array([width, height]) - size, 0)
    if kind == "small":
        corner = rng.uniform(0, 1, 2) * slack
    elif kind == "wall":
        corner = (np.array([width, height]) - size) / 2 + rng.normal(0, 0.15, 2) * (width, height)
    else:
        middle = (np.array([width, height]) - size) / 2
        corner = middle + np.clip(rng.normal(0, 0.22, 2), -0.5, 0.5) * slack + rng.normal(0, 0.01, 2) * width
    shift = corner - low * scale
    return _similarity(scale, shift[0], shift[1]) @ view


def _view(rng: Rng, yaw_limit: float, places: list[np.ndarray]) -> np.ndarray:
    """Homography from wall units to the image plane of a camera looking at the hanging at an angle.

    The camera turns about the middle of the hanging and stands far enough away that none of it is behind.
    """
    yaw = rng.normal(0, yaw_limit / 2.2) if rng.random() < 0.8 else rng.uniform(-yaw_limit, yaw_limit) * 1.15
    yaw, pitch = np.clip(yaw, -0.95, 0.95), np.clip(rng.normal(0.04, 0.13), -0.4, 0.45)
    roll = rng.normal(0, 0.035) if rng.random() < 0.93 else rng.normal(0, 0.15)
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw),
        np.sin(yaw),
        np.cos(pitch),
        np.sin(pitch),
        np.cos(roll),
        np.sin(roll),
    )
    turn = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    turn = turn @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    low = np.min([p[:2] for p in places], 0) if places else np.zeros(2)
    high = np.max([p[2:] for p in places], 0) if places else np.ones(2)
    middle = (low + high) / 2
    centre = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1]])
    distance = rng.uniform(1.5, 4.5) * max(1.0, 0.75 * float(np.hypot(*(high - low))))
    plane = np.stack([turn[:, 0], turn[:, 1], np.array([0, 0, distance])], 1)
    return plane @ centre


def _paste_work(
    rng: Rng,
    image: np.ndarray,
    work: art.Work,
    place: np.ndarray,
    view: np.ndarray,
    drop: np.ndarray,
    soft: float,
) -> np.ndarray | None:
    """Warps one framed work and its shadow into the photo; None where it is out of view."""
    h, w = work.image.shape[:2]
    scale = (place[2] - place[0]) / w
    tilt = rng.normal(0, 0.008)
    local = np.array([[scale, -scale * tilt, place[0]], [scale * tilt, scale, place[1]], [0, 0, 1]])
    matrix = view @ local
    quad = view_points(matrix, np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float64))
    low, high = quad.min(0), quad.max(0)
    if (high < 2).any() or (low > np.array(image.shape[1::-1]) - 2).any() or min(high - low) < 3:
        return None
    source, alpha = work.image, work.alpha
    shrink = np.sqrt(cv2.contourArea(quad.astype(np.float32)) / (h * w))
    if shrink < 0.7:  # average before warping, or the work aliases
        size = (max(2, round(w * shrink * 1.1)), max(2, round(h * shrink * 1.1)))
        source, alpha = (cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (source, alpha))
        matrix = matrix @ np.diag([w / size[0], h / size[1], 1])
    reach = float(max(high - low))
    _shadow(image, quad + drop * reach, max(0.6, soft * reach), rng.uniform(0, 0.65))
    x0, y0 = np.floor(np.maximum(low, 0)).astype(int)
    x1, y1 = np.ceil(np.minimum(high, image.shape[1::-1])).astype(int) + 1
    moved = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]]) @ matrix
    size = (min(x1, image.shape[1]) - x0, min(y1, image.shape[0]) - y0)
    if min(size) < 1:
        return None
    pixels = cv2.warpPerspective(source, moved, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpPerspective(alpha, moved, size, flags=cv2.INTER_LINEAR)
    _blend(image[y0 : y0 + size[1], x0 : x0 + size[0]], pixels, cover)
    return Placed(view_points(view @ local, work.inner.astype(np.float64)), quad, PAINTING)


def _shadow(image: np.ndarray, quad: np.ndarray, sigma: float, strength: float) -> None:
    margin = 3 * sigma
    x0, y0 = np.maximum(np.floor(quad.min(0) - margin), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(quad.max(0) + margin), image.shape[1::-1]).astype(int)
    if x1 - x0 < 2 or y1 - y0 < 2 or strength < 0.02:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillConvexPoly(mask, (quad - (x0, y0)).round().astype(np.int32), int(255 * strength))
    k = max(1, int(2 * sigma)) | 1
    mask = cv2.blur(cv2.blur(mask, (k, k)), (k, k))
    _blend(image[y0:y1, x0:x1], np.zeros((y1 - y0, x1 - x0, 3), np.uint8), mask)


def _blend(region: np.ndarray, pixels: np.ndarray, alpha: np.ndarray) -> None:
    a = np.repeat(alpha[:, :, None].astype(np.uint16), 3, 2)
    region[:] = ((region * (255 - a) + pixels * a + 127) // 255).astype(np.uint8)


# --- walls, rooms and what else is there ---


def _wall(rng: Rng, view: np.ndarray, width: int, height: int) -> np.ndarray:
    """A wall texture under the view: the texture covers about what the photo sees and is mirrored beyond."""
    texture = art.wallpaper(rng, 420, 420)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    seen = view_points(np.linalg.inv(view), corners)
    centre = view_points(np.linalg.inv(view), np.array([(width / 2, height / 2)], np.float64))[0]
    span = float(np.clip(np.abs(seen - centre).max(), 0.1, 30)) * 2
    scale = span / 420
    place = np.array([[scale, 0, centre[0] - span / 2], [0, scale, centre[1] - span / 2], [0, 0, 1]])
    return cv2.warpPerspective(
        texture, view @ place, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def _room(rng: Rng, assets: Assets, width: int, height: int) -> np.ndarray:
    source = assets.backgrounds[int(rng.integers(len(assets.backgrounds)))]
    h, w = source.shape[:2]
    scale = max(width / w, height / h) * rng.uniform(1, 1.6)
    source = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    y = int(rng.integers(0, max(1, source.shape[0] - height + 1)))
    x = int(rng.integers(0, max(1, source.shape[1] - width + 1)))
    out = np.ascontiguousarray(source[y : y + height, x : x + width])
    if out.shape[:2] != (height, width):
        out = cv2.resize(out, (width, height))
    return cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 4)) if rng.random() < 0.3 else out


def _furnish(rng: Rng, assets: Assets, image: np.ndarray, view: np.ndarray, places: list[np.ndarray]) -> None:
    """Things that are rectangular, oval or arched but no works: doors, niches, windows, panels, grilles."""
    height, width = image.shape[:2]
    seen = view_points(np.linalg.inv(view), np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64))
    low, high = seen.min(0), seen.max(0)
    span = np.minimum(high - low, 30)
    for _ in range(int(rng.integers(1, 3))):
        kind = rng.choice(["door", "niche", "window", "panel", "bench"])
        w = span[0] * rng.uniform(0.08, 0.35)
        x = low[0] + rng.uniform(-0.05, 1.0) * span[0]
        y1 = high[1] if kind in ("door", "niche", "bench") else low[1] + rng.uniform(0.3, 0.9) * span[1]
        h = w * (rng.uniform(0.2, 0.5) if kind == "bench" else rng.uniform(1.2, 3))
        place = np.array([x, y1 - h, x + w, y1])
        if any(_overlap(place, p) for p in places):
            continue
        if kind == "window" or (kind in ("door", "niche") and rng.random() < 0.4):
            inside = assets.backgrounds[int(rng.integers(len(assets.backgrounds)))]
            inside = cv2.resize(inside, (96, 160))
            if kind == "window":
                inside = cv2.add(inside, np.full_like(inside, int(rng.integers(60, 160))))
                inside[:, 46:50] = inside[78:82] = int(rng.integers(30, 230))
        else:
            tone = rng.uniform(10, 220, 3) if kind != "panel" else image.mean((0, 1)) * rng.uniform(0.85, 1.1)
            inside = np.tile(np.clip(tone, 0, 255).astype(np.uint8), (160, 96, 1))
        alpha = np.full(inside.shape[:2], 255, np.uint8)
        if kind == "niche":
            alpha[:] = 0
            cv2.fillPoly(alpha, [art._outline("arch", 0, 0, 95, 159).round().astype(np.int32)], 255)
        elif rng.random() < 0.7:
            rim = (rng.uniform(0.5, 1.3) * image.mean((0, 1))).clip(0, 255).tolist()
            cv2.rectangle(inside, (0, 0), (95, 159), rim, int(rng.integers(2, 8)))
        matrix = view @ np.array([[w / 96, 0, place[0]], [0, h / 160, place[1]], [0, 0, 1]])
        pixels = cv2.warpPerspective(inside, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        _blend(image, pixels, cv2.warpPerspective(alpha, matrix, (width, height)))


def _captions(rng: Rng, image: np.ndarray, view: np.ndarray, places: list[np.ndarray]) -> None:
    """Labels, switches and sensors beside the works: never works themselves."""
    for place in places:
        if rng.random() < 0.4:
            continue
        w, h = place[2] - place[0], place[3] - place[1]
        size = rng.uniform(0.06, 0.22) * max(w, h) * np.array([rng.uniform(0.6, 1.6), 1])
        side = rng.choice([-1, 1])
        x = place[2] + rng.uniform(0.04, 0.2) * w if side > 0 else place[0] - rng.uniform(0.04, 0.2) * w - size[0]
        spot = np.array([x, place[3] - rng.uniform(0, 0.6) * h, 0, 0])
        spot[2:] = spot[:2] + size
        if any(_overlap(spot, p) for p in places):
            continue
        quad = view_points(view, _corners(spot))
        tone = int(rng.integers(200, 255)) if rng.random() < 0.75 else int(rng.integers(20, 120))
        cv2.fillConvexPoly(image, quad.round().astype(np.int32), (tone,) * 3, cv2.LINE_AA)
        for t in np.linspace(0.2, 0.8, int(rng.integers(2, 7))):
            a, b = quad[0] + (quad[3] - quad[0]) * t, quad[1] + (quad[2] - quad[1]) * t
            a, b = a + (b - a) * 0.1, a + (b - a) * rng.uniform(0.4, 0.9)
            ink = (max(0, tone - 110),) * 3 if tone > 128 else (tone + 90,) * 3
            cv2.line(image, tuple(a.astype(int)), tuple(b.astype(int)), ink, 1, cv2.LINE_AA)


# --- objects ---


def _object_photo(rng: Rng, assets: Assets, width: int, height: int, kind: str) -> tuple[np.ndarray, list[Placed]]:
    """A real photo of one object, cropped, turned, or with its quiet ground continued."""
    sample = assets.object_photos[int(rng.integers(len(assets.object_photos)))]
    source = sample.pixels()
    h, w = source.shape[:2]
    box = sample.boxes[0]
    share = rng.uniform(0.98, 1.3) if rng.random() < 0.1 else 0.98 - 0.72 * rng.random() ** 1.5
    bw, bh = box[2] - box[0], box[3] - box[1]
    scale = share * min(width / bw, height / bh)
    quiet = _border_deviation(source) < 14
    if not quiet:  # a ground that cannot be continued must cover the photo
        scale = max(scale, width / w, height / h)
    size = np.array([bw, bh]) * scale
    slack = np.array([width, height]) - size
    corner = slack * np.clip(rng.normal(0.5, 0.2, 2), -0.05, 1.05)
    if not quiet:  # and may not show its own border
        furthest = np.array([width, height]) - np.array([w, h]) * scale + box[:2] * scale
        corner = np.clip(corner, furthest, box[:2] * scale)
    stretch = np.exp(rng.normal(0, 0.09))
    angle = rng.normal(0, 0.06) if rng.random() < 0.5 else 0.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([stretch, 1])
    centre, middle = (box[:2] + box[2:]) / 2, corner + size / 2
    linear = turn * scale
    matrix = np.concatenate([linear, (middle - linear @ centre)[:, None]], 1)
    if rng.random() < 0.35:
        source = _other_hue(rng, source)
    image = cv2.warpAffine(
        source, matrix, (width, height), flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE if quiet else cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    placed = []
    for b, label in zip(sample.boxes, sample.labels, strict=True):
        # The corners of a turned box overstate the object: an ellipse inside it is nearer to most shapes,
        # and for small angles both agree.
        t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        ring = np.stack([np.cos(t), np.sin(t)], 1) * (b[2:] - b[:2]) / 2 + (b[:2] + b[2:]) / 2
        outline = ring @ linear.T + matrix[:, 2]
        placed.append(Placed(outline, outline, int(label)))
    return image, placed


def _object_scene(rng: Rng, assets: Assets, width: int, height: int, kind: str) -> tuple[np.ndarray, list[Placed]]:
    """Cut-out objects standing on a plinth, table or floor, or lying on a ground; sometimes a painting behind."""
    lying = rng.random() < 0.22
    ground = rng.random()
    if ground < 0.4 and not lying:
        image = _room(rng, assets, width, height)
    elif ground < 0.6:
        image = _studio(rng, width, height)
    else:
        image = cv2.resize(art.wallpaper(rng, 300, 300), (width, height))
    placed: list[Placed] = []
    horizon = height * rng.uniform(0.45, 0.9)
    if not lying and rng.random() < 0.75:
        _table(rng, image, int(horizon))
    if not lying and rng.random() < 0.15:
        works, places = _hang(rng, assets, "single")
        view = _view(rng, 0.3, places)
        extent = np.concatenate([view_points(view, _corners(p)) for p in places])
        view = _aim(rng, view, extent, width, height, "small", places)
        for work, place in zip(works, places, strict=True):
            hung = _paste_work(rng, image, work, place, view, np.array([0.01, 0.02]), 0.01)
            if hung is not None:
                placed.append(hung)
    count = 1 if rng.random() < 0.65 else int(rng.integers(2, 5))
    share = rng.uniform(0.1, 0.35) if rng.random() < 0.18 else 0.98 - 0.65 * rng.random() ** 1.3
    for i in range(count):
        real = rng.random() < 0.6
        cut = assets.cutouts[int(rng.integers(len(assets.cutouts)))] if real else things.thing(rng)
        if rng.random() < 0.5:
            cut = np.ascontiguousarray(cut[:, ::-1])
        if rng.random() < 0.4:
            cut = np.dstack([_other_hue(rng, cut[:, :, :3]), cut[:, :, 3]])
        if rng.random() < 0.5:  # other proportions make other things of the few that there are
            fx, fy = np.exp(rng.normal(0, 0.2, 2))
            cut = cv2.resize(cut, None, fx=float(fx), fy=float(fy), interpolation=cv2.INTER_AREA)
        if lying or rng.random() < 0.15:
            cut = _turned(cut, rng.uniform(0, 360) if lying else rng.normal(0, 8))
        own = share * (1 if i == 0 else rng.uniform(0.4, 1.0)) / (1 if count == 1 else 1.3)
        scale = own * min(width / cut.shape[1], height / cut.shape[0])
        size = (max(6, int(cut.shape[1] * scale)), max(6, int(cut.shape[0] * scale)))
        cut = cv2.resize(cut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        x = int((width - size[0]) * np.clip(rng.normal(0.5, 0.25 if count == 1 else 0.4), -0.1, 1.1))
        if rng.random() < 0.1:  # cut by the photo's side
            x = int(rng.choice([-1, 1]) * rng.uniform(0.1, 0.4) * size[0] + (width - size[0]) * (rng.random() > 0.5))
        if lying:
            y = int((height - size[1]) * rng.uniform(0.05, 0.95))
        elif rng.random() < 0.12:  # or by its lower edge: a bust, a suit of armour
            y = int(height - size[1] * rng.uniform(0.6, 0.98))
        else:
            foot = min(height * 1.08, horizon + rng.uniform(0.02, 0.9) * (height - horizon))
            y = int(max(foot - size[1], -0.1 * height))
        spot = np.array([x, y, x + size[0], y + size[1]], np.float64)
        if any(_overlap(spot, np.concatenate([p.outer.min(0), p.outer.max(0)])) for p in placed):
            if i:
                continue
            placed = _uncovered(spot, placed)
        if not lying and i == 0 and rng.random() < 0.35:
            _plinth(rng, image, spot)
        outline = _paste_cutout(rng, image, cut, x, y, lying)
        if outline is not None:
            placed.append(Placed(outline, outline, OBJECT))
    return image, placed


def _paste_cutout(rng: Rng, image: np.ndarray, cut: np.ndarray, x: int, y: int, lying: bool) -> np.ndarray | None:
    h, w = cut.shape[:2]
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if x1 - x0 < 4 or y1 - y0 < 4:
        return None
    light = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.06, 3))
    pixels = np.clip(cut[:, :, :3] * light, 0, 255).astype(np.uint8)
    if not lying:  # contact shadow below, cast shadow to one side
        foot = np.array([[x + w * 0.1, y + h * 0.93], [x + w * 0.9, y + h * 0.93],
                         [x + w * 0.9, y + h * 1.03], [x + w * 0.1, y + h * 1.03]])  # fmt: skip
        _shadow(image, foot, max(1.0, 0.03 * w), rng.uniform(0.2, 0.8))
    if rng.random() < 0.6:
        dx, dy = (rng.uniform(-0.12, 0.12) * w, rng.uniform(0, 0.06) * h)
        k = max(1, int(0.05 * max(w, h))) | 1
        cast = cv2.blur(cut[:, :, 3], (k, k)) // int(rng.integers(2, 6))
        sx, sy = int(x + dx), int(y + dy)
        a0, b0, a1, b1 = max(sx, 0), max(sy, 0), min(sx + w, width), min(sy + h, height)
        if a1 > a0 and b1 > b0:
            part = cast[b0 - sy : b1 - sy, a0 - sx : a1 - sx]
            _blend(image[b0:b1, a0:a1], np.zeros((*part.shape, 3), np.uint8), part)
    _blend(
        image[y0:y1, x0:x1],
        pixels[y0 - y : y1 - y, x0 - x : x1 - x],
        cut[y0 - y : y1 - y, x0 - x : x1 - x, 3],
    )
    shown = cut[y0 - y : y1 - y, x0 - x : x1 - x, 3] > 127
    if shown.sum() >= 0.4 * max(1, (cut[:, :, 3] > 127).sum()):
        # Of an object cut by the photo's edge, the box of what is left in view is narrower than the clipped box.
        ys, xs = np.nonzero(shown)
        return _corners(np.array([x0 + xs.min(), y0 + ys.min(), x0 + xs.max() + 1, y0 + ys.max() + 1], np.float64))
    return _corners(np.array([x, y, x + w, y + h], np.float64))


def _studio(rng: Rng, width: int, height: int) -> np.ndarray:
    """The sweep of a product or catalogue photo: white, black, grey or one colour, running out softly."""
    tone = rng.choice([rng.uniform(225, 255), rng.uniform(0, 30), rng.uniform(40, 220)])
    colour = tone + rng.normal(0, 5, 3) + (rng.normal(0, 40, 3) if rng.random() < 0.3 else 0)
    fall = 1 - rng.uniform(0, 0.4) * np.abs(np.linspace(-1, 1, height) - rng.uniform(-1, 1))[:, None]
    side = 1 - rng.uniform(0, 0.2) * np.abs(np.linspace(-1, 1, width))[None, :]
    return np.clip((fall * side)[:, :, None] * colour, 0, 255).astype(np.uint8)


def _other_hue(rng: Rng, image: np.ndarray) -> np.ndarray:
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
    hsv[:, :, 0] = (hsv[:, :, 0].astype(np.int16) + int(rng.integers(180))) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def _table(rng: Rng, image: np.ndarray, horizon: int) -> None:
    h = image.shape[0] - horizon
    if h < 4:
        return
    top = art.wallpaper(rng, max(8, h), image.shape[1])
    tone = np.array(rng.uniform(0.4, 1.0) * np.array([1, rng.uniform(0.75, 1), rng.uniform(0.5, 1)]))
    image[horizon:] = np.clip(top[:h] * tone, 0, 255).astype(np.uint8)
    image[horizon : horizon + 2] = (image[horizon : horizon + 2] * rng.uniform(0.4, 1)).astype(np.uint8)


def _plinth(rng: Rng, image: np.ndarray, spot: np.ndarray) -> None:
    w = spot[2] - spot[0]
    x0, x1 = spot[0] - rng.uniform(-0.1, 0.5) * w, spot[2] + rng.uniform(-0.1, 0.5) * w
    y = spot[3] - 0.03 * (spot[3] - spot[1])
    tone = np.clip(rng.uniform(30, 245) + rng.normal(0, 8, 3), 0, 255)
    depth = rng.uniform(0.05, 0.25) * w
    cv2.rectangle(image, (int(x0), int(y)), (int(x1), image.shape[0]), (tone * rng.uniform(0.6, 0.95)).tolist(), -1)
    top = np.array([(x0, y + depth / 2), (x1, y + depth / 2), (x1 - depth, y - depth / 2), (x0 + depth, y - depth / 2)])
    cv2.fillConvexPoly(image, top.astype(np.int32), tone.tolist(), cv2.LINE_AA)


def _turned(cut: np.ndarray, degrees: float) -> np.ndarray:
    h, w = cut.shape[:2]
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), degrees, 1)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(h * sin + w * cos) + 1, int(h * cos + w * sin) + 1)
    matrix[:, 2] += (size[0] - w) / 2, (size[1] - h) / 2
    turned = cv2.warpAffine(cut, matrix, size)
    ys, xs = np.nonzero(turned[:, :, 3] > 127)
    return turned[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] if len(ys) else cut


def _uncovered(spot: np.ndarray, placed: list[Placed]) -> list[Placed]:
    """Those works of which the new object at `spot` hides less than 40 %."""
    kept = []
    for work in placed:
        low, high = work.inner.min(0), work.inner.max(0)
        common = np.prod(np.maximum(np.minimum(high, spot[2:]) - np.maximum(low, spot[:2]), 0))
        if common < 0.4 * np.prod(high - low):
            kept.append(work)
    return kept


def _border_deviation(image: np.ndarray) -> float:
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]).astype(np.float32)
    return float(border.std(0).mean())


# --- geometry ---


def view_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [n,2] through a homography; behind the camera they go far away instead of turning over."""
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], 1) @ matrix.T
    return homogeneous[:, :2] / np.maximum(homogeneous[:, 2:], 1e-3)


def _corners(place: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = place
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float64)


def _similarity(scale: float, x: float, y: float) -> np.ndarray:
    return np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]], np.float64)


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def _photo_size(rng: Rng) -> tuple[int, int]:
    long = int(rng.integers(360, 460))
    short = max(150, int(long * rng.choice([0.5625, 0.667, 0.75, 0.75, 0.85, 1.0])))
    return (long, short) if rng.random() < 0.5 else (short, long)
