"""Which triangle is seen at each of the sixteen samples of a pixel, and what of it is shaded."""

import warp as wp

# Unrolled, the loops over samples would take a minute to compile.
wp.set_module_options({"max_unroll": 0, "enable_backward": False})

STEPS = wp.constant(wp.int64(256))  # to which the sides of a pixel are divided
NOTHING = wp.constant(wp.uint64(0x7FFFFFFFFFFFFFFF))
NEARNESS_STEPS = wp.constant(float(1 << 30))
SAMPLES = wp.constant(16)  # of a pixel, in rows of four
WHOLE = wp.constant(wp.uint64(1))  # the groups of a pixel of which all samples show one surface


@wp.func
def sample_x(sample: int):
    """Where a sample lies in its pixel, in steps: no two share a column."""
    row = sample // 4
    return wp.int64(64 * (sample % 4) + 16 * ((2 * row + row // 2 + 1) % 4) + 8)


@wp.func
def sample_y(sample: int):
    """No two samples share a row either."""
    column = sample % 4
    return wp.int64(64 * (sample // 4) + 16 * ((2 * column + column // 2 + 1) % 4) + 8)


@wp.func
def snapped(x: float):
    return wp.int64(wp.round(wp.float64(x) * wp.float64(256.0)))


@wp.func
def side(ax: wp.int64, ay: wp.int64, bx: wp.int64, by: wp.int64, x: wp.int64, y: wp.int64):
    """Above 0 on one side of the line from a to b; exact, so neighbours never disagree."""
    return (bx - ax) * (y - ay) - (by - ay) * (x - ax)


@wp.func
def owns(ax: wp.int64, ay: wp.int64, bx: wp.int64, by: wp.int64):
    """0 if what lies on the edge from a to b belongs to the triangle, else -1."""
    if by < ay or (by == ay and bx > ax):
        return wp.int64(0)
    return wp.int64(-1)


@wp.func
def first_pixel(low: wp.int64, least: int):
    return wp.max(int(low // STEPS), least)


@wp.func
def slope_x(x: wp.vec3, y: wp.vec3, value: wp.vec3, area: float):
    return ((value[1] - value[0]) * (y[2] - y[0]) - (value[2] - value[0]) * (y[1] - y[0])) / area


@wp.func
def slope_y(x: wp.vec3, y: wp.vec3, value: wp.vec3, area: float):
    return ((value[2] - value[0]) * (x[1] - x[0]) - (value[1] - value[0]) * (x[2] - x[0])) / area


@wp.kernel
def draw(
    screen: wp.array[wp.vec3],
    faces: wp.array2d[wp.int64],
    keep: wp.array[float],
    one_sided: wp.array[wp.bool],
    left: int,
    right: int,
    top: int,
    bottom: int,
    best: wp.array[wp.uint64],
):
    """The nearest triangle at each sample of the pixels from left and top up to right and bottom.

    It is found in the lower half of ``best``, and how far away in the upper half.
    """
    face = wp.tid()
    i, j, k = int(faces[face, 0]), int(faces[face, 1]), int(faces[face, 2])
    kept = wp.vec3(keep[i], keep[j], keep[k])
    if wp.max(kept) <= 0.0:
        return
    a, b, c = screen[i], screen[j], screen[k]
    if wp.min(a[2], wp.min(b[2], c[2])) <= 0.0:
        return
    ax, ay = snapped(a[0]), snapped(a[1])
    bx, by = snapped(b[0]), snapped(b[1])
    cx, cy = snapped(c[0]), snapped(c[1])
    lowest, highest = wp.min(ay, wp.min(by, cy)), wp.max(ay, wp.max(by, cy))
    y0 = first_pixel(lowest, top)
    y1 = wp.min(int(highest // STEPS) + 1, bottom)
    if y0 >= y1:
        return
    area = side(ax, ay, bx, by, cx, cy)
    if area == wp.int64(0) or (one_sided[face] and area > wp.int64(0)):
        return
    xs, ys = wp.vec3(a[0], b[0], c[0]), wp.vec3(a[1], b[1], c[1])
    near = wp.vec3(a[2], b[2], c[2])
    extent = float(area) / 65536.0
    near_x, near_y = slope_x(xs, ys, near, extent), slope_y(xs, ys, near, extent)
    kept_x, kept_y = slope_x(xs, ys, kept, extent), slope_y(xs, ys, kept, extent)
    nearest = wp.max(near)
    furthest = wp.min(near)
    if area < wp.int64(0):
        swap_x = bx
        swap_y = by
        bx = cx
        by = cy
        cx = swap_x
        cy = swap_y
    own_a, own_b, own_c = owns(bx, by, cx, cy), owns(cx, cy, ax, ay), owns(ax, ay, bx, by)
    x0 = first_pixel(wp.min(ax, wp.min(bx, cx)), left)
    x1 = wp.min(int(wp.max(ax, wp.max(bx, cx)) // STEPS) + 1, right)
    half = STEPS / wp.int64(2)
    reach_a = half * (wp.abs(cx - bx) + wp.abs(cy - by))
    reach_b = half * (wp.abs(ax - cx) + wp.abs(ay - cy))
    reach_c = half * (wp.abs(bx - ax) + wp.abs(by - ay))
    for row in range(y0, y1):
        for column in range(x0, x1):
            mx = wp.int64(column) * STEPS + half
            my = wp.int64(row) * STEPS + half
            if (
                side(bx, by, cx, cy, mx, my) + reach_a < wp.int64(0)
                or side(cx, cy, ax, ay, mx, my) + reach_b < wp.int64(0)
                or side(ax, ay, bx, by, mx, my) + reach_c < wp.int64(0)
            ):
                continue
            first = ((row - top) * (right - left) + column - left) * SAMPLES
            for s in range(16):
                x = wp.int64(column) * STEPS + sample_x(s)
                y = wp.int64(row) * STEPS + sample_y(s)
                in_a = side(bx, by, cx, cy, x, y) + own_a
                in_b = side(cx, cy, ax, ay, x, y) + own_b
                in_c = side(ax, ay, bx, by, x, y) + own_c
                if (in_a | in_b | in_c) >= wp.int64(0):
                    right_of = float(x) / 256.0 - xs[0]
                    below = float(y) / 256.0 - ys[0]
                    if kept[0] + right_of * kept_x + below * kept_y > 0.0:
                        n = near[0] + right_of * near_x + below * near_y
                        n = wp.clamp(n, furthest, nearest)
                        far = wp.uint64(NEARNESS_STEPS * wp.clamp(1.0 - n, 0.0, 1.0))
                        key = (far << wp.uint64(32)) | wp.uint64(face)
                        wp.atomic_min(best, first + s, key)


@wp.func
def leader_of(groups: wp.uint64, sample: int):
    return int((groups >> wp.uint64(4 * sample)) & wp.uint64(15))


@wp.func
def part_of(sample: int, fine: int):
    """Which of the ``fine`` by ``fine`` parts of a pixel (1 or 2 along each side) it is in."""
    if fine == 1:
        return 0
    return 2 * (sample // 8) + (sample % 4) // 2


@wp.kernel
def group(
    best: wp.array[wp.uint64],
    surface: wp.array[int],
    apart: float,
    fine: int,
    groups: wp.array[wp.uint64],
    counts: wp.array2d[int],
):
    """Tell for each sample of a pixel the first that shows the same surface at the same depth.

    And count the surfaces in the pixel, and the parts of it that each is seen in.
    """
    pixel = wp.tid()
    first = pixel * SAMPLES
    found = wp.uint64(0)
    surfaces = int(0)
    parts = int(0)
    whole = int(0)
    seen_1 = int(0)  # a bit for each surface's first sample and part, in two words
    seen_2 = int(0)
    for s in range(16):
        key = best[first + s]
        if key != NOTHING:
            depth = float(key >> wp.uint64(32)) / NEARNESS_STEPS
            mine = surface[int(key & wp.uint64(0xFFFFFFFF))]
            leader = int(s)
            for t in range(s):
                other = best[first + t]
                if other != NOTHING and leader_of(found, t) == t:
                    theirs = surface[int(other & wp.uint64(0xFFFFFFFF))]
                    between = depth - float(other >> wp.uint64(32)) / NEARNESS_STEPS
                    if theirs == mine and wp.abs(between) < apart:
                        leader = t
                        break
            found = found | (wp.uint64(leader) << wp.uint64(4 * s))
            if leader == s:
                surfaces += 1
            if leader == 0:
                whole += 1
            bit = 4 * (leader % 8) + part_of(s, fine)
            flag = 1 << bit
            if leader < 8:
                if (seen_1 & flag) == 0:
                    parts += 1
                    seen_1 = seen_1 | flag
            else:
                if (seen_2 & flag) == 0:
                    parts += 1
                    seen_2 = seen_2 | flag
    if whole == 16:
        found = WHOLE
    groups[pixel] = found
    counts[pixel, 0] = surfaces
    counts[pixel, 1] = parts


@wp.func
def leads(best: wp.array[wp.uint64], first: int, groups: wp.uint64, sample: int):
    """Whether a sample is the first of its surface in the pixel."""
    if groups == WHOLE:
        return sample == 0
    return best[first + sample] != NOTHING and leader_of(groups, sample) == sample


@wp.func
def middle_of_whole(part: int, fine: int):
    """The sample in the middle of a part, and how many it has."""
    if fine == 1:
        return 5, 16
    if part < 2:
        return 1 + part, 4
    return 4 + 2 * part, 4


@wp.func
def middle_sample(
    best: wp.array[wp.uint64], first: int, groups: wp.uint64, leader: int, part: int, fine: int
):
    """The member nearest to the middle of those of a surface in a part, and how many there are."""
    if groups == WHOLE:
        return middle_of_whole(part, fine)
    count = int(0)
    sum_x = wp.int64(0)
    sum_y = wp.int64(0)
    for s in range(16):
        if part_of(s, fine) == part and best[first + s] != NOTHING:
            if leader_of(groups, s) == leader:
                count += 1
                sum_x += sample_x(s)
                sum_y += sample_y(s)
    chosen = int(-1)
    least = wp.int64(0)
    for s in range(16):
        if part_of(s, fine) == part and best[first + s] != NOTHING:
            if leader_of(groups, s) == leader:
                x = sample_x(s) * wp.int64(count) - sum_x
                y = sample_y(s) * wp.int64(count) - sum_y
                away = x * x + y * y
                if chosen < 0 or away < least:
                    chosen = s
                    least = away
    return chosen, count


@wp.func
def corner_weights(
    screen: wp.array[wp.vec3], faces: wp.array2d[wp.int64], face: int, x: wp.int64, y: wp.int64
):
    """How much of each corner is seen at a place, corrected for perspective."""
    a, b, c = screen[int(faces[face, 0])], screen[int(faces[face, 1])], screen[int(faces[face, 2])]
    ax, ay = snapped(a[0]), snapped(a[1])
    bx, by = snapped(b[0]), snapped(b[1])
    cx, cy = snapped(c[0]), snapped(c[1])
    area = float(side(ax, ay, bx, by, cx, cy))
    u = float(side(bx, by, cx, cy, x, y)) / area * a[2]
    v = float(side(cx, cy, ax, ay, x, y)) / area * b[2]
    w = float(side(ax, ay, bx, by, x, y)) / area * c[2]
    return wp.vec3(u, v, w) / (u + v + w)


@wp.kernel
def gather(
    screen: wp.array[wp.vec3],
    faces: wp.array2d[wp.int64],
    best: wp.array[wp.uint64],
    groups: wp.array[wp.uint64],
    starts: wp.array2d[wp.int64],
    left: int,
    right: int,
    top: int,
    width: int,
    fine: int,
    spot_face: wp.array[wp.int64],
    spot_weight: wp.array[wp.vec3],
    part_sample: wp.array[wp.int64],
    part_face: wp.array[wp.int64],
    part_weight: wp.array[wp.vec3],
    part_spot: wp.array[wp.int64],
    part_share: wp.array[float],
):
    """Write down the surfaces (spots) of each pixel, and the parts of it that each is seen in."""
    pixel = wp.tid()
    first = pixel * SAMPLES
    found = groups[pixel]
    spot = int(starts[pixel, 0])
    part = int(starts[pixel, 1])
    if spot == int(starts[pixel + 1, 0]):
        return
    column = left + pixel % (right - left)
    row = top + pixel // (right - left)
    x = wp.int64(column) * STEPS
    y = wp.int64(row) * STEPS
    for leader in range(16):
        if leads(best, first, found, leader):
            s, _count = middle_sample(best, first, found, leader, 0, 1)
            face = int(best[first + s] & wp.uint64(0xFFFFFFFF))
            spot_face[spot] = wp.int64(face)
            spot_weight[spot] = corner_weights(
                screen, faces, face, x + sample_x(s), y + sample_y(s)
            )
            for q in range(fine * fine):
                t, members = middle_sample(best, first, found, leader, q, fine)
                if members > 0:
                    face = int(best[first + t] & wp.uint64(0xFFFFFFFF))
                    part_face[part] = wp.int64(face)
                    at_x, at_y = x + sample_x(t), y + sample_y(t)
                    part_weight[part] = corner_weights(screen, faces, face, at_x, at_y)
                    place = (fine * row + q // fine) * fine * width + fine * column + q % fine
                    part_sample[part] = wp.int64(place)
                    part_spot[part] = wp.int64(spot)
                    part_share[part] = float(members) / 16.0
                    part += 1
            spot += 1
