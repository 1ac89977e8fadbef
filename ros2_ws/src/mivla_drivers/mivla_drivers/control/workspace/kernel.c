/* Frames and distances of a robot's links for all poses of a braking path, as tree.py, clearance.py and segments.py
 * reckon them with arrays, and braking.py, slowing.py and tool_speed.py what they do with them; those are what this is
 * held to. Layouts are those of the arrays; numbers are doubles. At most MOST_JOINTS joints. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define MOST_JOINTS 256

typedef struct {
    int64_t size, moving;         /* joints of the contract, moving joints of the URDF; bodies are moving + 1 */
    const double *spread, *offset; /* (moving, size), (moving) */
    const double *terms;          /* (moving, 3, 16) */
    const uint8_t *slides;        /* (moving) */
    const int64_t *parents;       /* (moving), bodies */
    const double *axes;           /* (moving, 3) */
    int64_t arms;
    const int64_t *tip_bodies;    /* (arms) */
    const double *tip_points;     /* (arms, 4) */
    int64_t tables;
    const int64_t *table_bodies;  /* (tables) */
    const double *table_frames, *half, *radii, *round; /* (tables, 16), (tables, 3), (tables), (tables, 3) */
    double table_height;
    int64_t faces;
    const int64_t *face_bodies, *face_axes;  /* (faces) */
    const double *face_points, *face_signs, *face_corners; /* (faces, 4), (faces), (faces) */
    int64_t pairs, capsules;
    const int64_t *pair_one, *pair_other, *capsule_bodies; /* (pairs), (pairs), (capsules) */
    const double *capsule_ends, *capsule_radii; /* (capsules, 4, 2) columns, (capsules) */
} Workspace;

static const double TINY = 1e-12;

static double unit(double x) { return x < 0.0 ? 0.0 : x > 1.0 ? 1.0 : x; }
static double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

void workspace_frames(const Workspace *w, const double *poses, int64_t count, double *frames) {
    for (int64_t b = 0; b < count; b++) {
        double *root = frames + 16 * b;
        memset(root, 0, 16 * sizeof(double));
        root[0] = root[5] = root[10] = root[15] = 1.0;
    }
    for (int64_t m = 0; m < w->moving; m++) {
        const double *terms = w->terms + 48 * m, *spread = w->spread + m * w->size;
        int64_t drivers[MOST_JOINTS], few = 0; /* mostly one joint of the contract */
        for (int64_t j = 0; j < w->size; j++)
            if (spread[j] != 0.0) drivers[few++] = j;
        for (int64_t b = 0; b < count; b++) {
            double angle = w->offset[m];
            for (int64_t i = 0; i < few; i++) angle += spread[drivers[i]] * poses[b * w->size + drivers[i]];
            double first = w->slides[m] ? angle : sin(angle), second = w->slides[m] ? 0.0 : 1.0 - cos(angle);
            double local[12]; /* the last row of a frame is 0 0 0 1 */
            for (int i = 0; i < 12; i++) local[i] = terms[i] + first * terms[16 + i] + second * terms[32 + i];
            const double *parent = frames + 16 * (w->parents[m] * count + b);
            double *out = frames + 16 * ((m + 1) * count + b);
            for (int r = 0; r < 3; r++) {
                const double *row = parent + 4 * r;
                for (int c = 0; c < 4; c++)
                    out[4 * r + c] = row[0] * local[c] + row[1] * local[4 + c] + row[2] * local[8 + c];
                out[4 * r + 3] += row[3];
            }
            out[12] = out[13] = out[14] = 0.0;
            out[15] = 1.0;
        }
    }
}

static double above_table(const Workspace *w, const double *frame, int64_t t) {
    double row[4];
    const double *shape = w->table_frames + 16 * t;
    for (int c = 0; c < 4; c++) {
        row[c] = 0.0;
        for (int k = 0; k < 4; k++) row[c] += frame[8 + k] * shape[4 * k + c];
    }
    double flat = 0.0, around = 0.0;
    for (int a = 0; a < 3; a++) {
        flat += fabs(row[a]) * w->half[3 * t + a];
        around += row[a] * row[a] * w->round[3 * t + a];
    }
    return row[3] - (flat + w->radii[t] * sqrt(around)) - w->table_height;
}

static void segment(const Workspace *w, const double *frame, int64_t capsule, double *start, double *way) {
    const double *ends = w->capsule_ends + 8 * capsule;
    for (int r = 0; r < 3; r++) {
        double from = 0.0, to = 0.0;
        for (int k = 0; k < 4; k++) {
            from += frame[4 * r + k] * ends[2 * k];
            to += frame[4 * r + k] * ends[2 * k + 1];
        }
        start[r] = from;
        way[r] = to - from;
    }
}

static void closest(const double *start, const double *u, const double *far, const double *v, double *point,
                    double *apart) {
    double gap[3];
    for (int a = 0; a < 3; a++) gap[a] = start[a] - far[a];
    double uu = dot(u, u) + TINY, vv = dot(v, v) + TINY, uv = dot(u, v), ug = dot(u, gap), vg = dot(v, gap);
    double least = TINY * uu * vv, denominator = uu * vv - uv * uv;
    double along = unit((uv * vg - ug * vv) / (denominator > least ? denominator : least));
    double across = unit((uv * along + vg) / vv);
    along = unit((uv * across - ug) / uu);
    for (int a = 0; a < 3; a++) {
        point[a] = start[a] + along * u[a];
        apart[a] = point[a] - far[a] - across * v[a];
    }
}

/* values (k, count); points and apart (pairs among which, count, 3). `which` ascends. `path`: see clearance.py.
 * `ends` is room for (capsules, count, 6), and `known` for (capsules). */
void workspace_distances(const Workspace *w, const double *frames, int64_t count, const int64_t *which, int64_t k,
                         int64_t path, double *values, double *points, double *apart, double *ends, uint8_t *known) {
    int64_t boxes = w->tables + w->faces, pair = 0;
    memset(known, 0, w->capsules);
    for (int64_t i = 0; i < k; i++) {
        double *value = values + i * count;
        if (which[i] < w->tables) {
            for (int64_t b = 0; b < count; b++)
                value[b] = above_table(w, frames + 16 * (w->table_bodies[which[i]] * count + b), which[i]);
            continue;
        }
        if (which[i] < boxes) {
            int64_t f = which[i] - w->tables, axis = w->face_axes[f];
            for (int64_t b = 0; b < count; b++) {
                const double *row = frames + 16 * (w->face_bodies[f] * count + b) + 4 * axis;
                double at = 0.0;
                for (int c = 0; c < 4; c++) at += row[c] * w->face_points[4 * f + c];
                value[b] = w->face_signs[f] * (at - w->face_corners[f]);
            }
            continue;
        }
        int64_t one = w->pair_one[which[i] - boxes], other = w->pair_other[which[i] - boxes];
        double radii = w->capsule_radii[one] + w->capsule_radii[other], before[3] = {0.0, 0.0, 0.0};
        int64_t both[2] = {one, other};
        for (int s = 0; s < 2; s++) {
            if (known[both[s]]) continue;
            known[both[s]] = 1;
            for (int64_t b = 0; b < count; b++) {
                double *end = ends + 6 * (both[s] * count + b);
                segment(w, frames + 16 * (w->capsule_bodies[both[s]] * count + b), both[s], end, end + 3);
            }
        }
        for (int64_t b = 0; b < count; b++, pair++) {
            const double *this = ends + 6 * (one * count + b), *that = ends + 6 * (other * count + b);
            double *way = apart + 3 * pair;
            closest(this, this + 3, that, that + 3, points + 3 * pair, way);
            double now[3] = {way[0], way[1], way[2]};
            if (path && b > 0) { /* nearest between the pose before and this one */
                double change[3];
                for (int a = 0; a < 3; a++) change[a] = now[a] - before[a];
                double passed = unit(-dot(before, change) / (dot(change, change) + TINY));
                for (int a = 0; a < 3; a++) way[a] = before[a] + passed * change[a];
            }
            memcpy(before, now, sizeof now);
            value[b] = sqrt(dot(way, way)) - radii;
        }
    }
}

static double moved(double velocity, double change, double period, double periods) {
    double speed = fabs(velocity), braked = floor(speed / change + 1e-9);
    if (braked > periods) braked = periods;
    return copysign(period * ((braked + 1.0) * speed - change * braked * (braked + 1.0) / 2.0), velocity);
}

static double whole_periods(double velocity, double change) { return floor(fabs(velocity) / change + 1e-9); }

static int64_t insert(double *sorted, int64_t count, double value) {
    int64_t at = count;
    while (at > 0 && sorted[at - 1] > value) at--;
    if (at > 0 && sorted[at - 1] == value) return count;
    memmove(sorted + at + 1, sorted + at, (count - at) * sizeof(double));
    sorted[at] = value;
    return count + 1;
}

/* As BrakingPath.moments in braking.py; `bends` is NULL where none are asked for. Returns how many. */
int64_t workspace_moments(int64_t n, const double *change, double period, const double *velocity, double spacing,
                          int64_t most, int64_t most_periods, const uint8_t *bends, double *moments) {
    double furthest = 0.0, longest = 0.0;
    for (int64_t j = 0; j < n; j++) {
        double speed = fabs(velocity[j]);
        furthest = fmax(furthest, speed * (period + speed / (2.0 * (change[j] / period))));
        longest = fmax(longest, speed / change[j]);
    }
    int64_t count = 1 + (int64_t)ceil(furthest / spacing), periods = (int64_t)ceil(longest - 1e-9), found = 1;
    if (bends != 0 && periods <= most_periods) {
        for (int64_t i = 0; i < periods + 3; i++) moments[i] = i - 1;
        return periods + 3;
    }
    if (count > most) count = most;
    double apart = (double)periods / (count > 1 ? count - 1 : 1);
    moments[0] = -1.0;
    for (int64_t i = 0; i < count; i++) moments[found++] = rint(i * apart);
    if (bends == 0) return found;
    int64_t looked = found;
    double evenly[MOST_JOINTS];
    memcpy(evenly, moments, looked * sizeof(double));
    found = 0;
    for (int64_t i = 0; i < looked; i++) {
        found = insert(moments, found, evenly[i]);
        found = insert(moments, found, evenly[i] + 1.0);
    }
    for (int64_t j = 0; j < n; j++) {
        if (!bends[j]) continue;
        double whole = whole_periods(velocity[j], change[j]);
        for (int i = -1; i < 2; i++) found = insert(moments, found, whole + i);
    }
    return found;
}

/* As BrakingPath.moved, from `position`: poses (count, n). */
void workspace_poses(int64_t n, const double *change, double period, const double *position, const double *velocity,
                     const double *moments, int64_t count, double *poses) {
    for (int64_t b = 0; b < count; b++)
        for (int64_t j = 0; j < n; j++)
            poses[n * b + j] = position[j] + moved(velocity[j], change[j], period, moments[b]);
}

static void tip(const Workspace *w, const double *frames, int64_t count, int64_t b, int64_t arm, double *at) {
    const double *frame = frames + 16 * (w->tip_bodies[arm] * count + b), *local = w->tip_points + 4 * arm;
    for (int r = 0; r < 3; r++) at[r] = dot(frame + 4 * r, local) + frame[4 * r + 3] * local[3];
}

/* As ToolSpeed.steps: the longest way of each end effector from one moment to the next, (arms). */
void workspace_steps(const Workspace *w, const double *frames, int64_t count, const double *moments, double *steps) {
    for (int64_t i = 0; i < w->arms; i++) {
        double before[3] = {0.0, 0.0, 0.0}, longest = 0.0;
        for (int64_t b = 0; b < count; b++) {
            double now[3], way[3];
            tip(w, frames, count, b, i, now);
            for (int r = 0; r < 3; r++) way[r] = now[r] - before[r];
            if (b > 0 && moments[b] - moments[b - 1] == 1.0) longest = fmax(longest, dot(way, way));
            memcpy(before, now, sizeof now);
        }
        steps[i] = sqrt(longest);
    }
}

/* As ToolSpeed.shares: `poses` (3, size) and `frames` (bodies, 3, 16) are room. */
void workspace_shares(const Workspace *w, double period, const double *position, const double *slowest,
                      const double *velocity, double limit, double *poses, double *frames, double *shares) {
    int64_t n = w->size;
    for (int64_t j = 0; j < n; j++) {
        poses[j] = position[j];
        poses[n + j] = position[j] + slowest[j] * period;
        poses[2 * n + j] = position[j] + velocity[j] * period;
    }
    workspace_frames(w, poses, 3, frames);
    for (int64_t i = 0; i < w->arms; i++) {
        double now[3], least[3], more[3];
        tip(w, frames, 3, 0, i, now);
        tip(w, frames, 3, 1, i, least);
        tip(w, frames, 3, 2, i, more);
        for (int r = 0; r < 3; r++) {
            more[r] -= least[r];
            least[r] -= now[r];
        }
        double a = dot(more, more), b = dot(least, more), c = dot(least, least) - limit * limit;
        if (a + 2.0 * b + c <= 0.0) shares[i] = 1.0;
        else if (a == 0.0 || b * b < a * c) shares[i] = 0.0;
        else shares[i] = unit((sqrt(b * b - a * c) - b) / a);
    }
}

/* As LinkTree.gradient at pose `b`, times `sign`, added to `out` (n). */
static void add_gradient(const Workspace *w, const double *frames, int64_t count, int64_t b, int64_t body,
                         const double *point, const double *direction, double sign, double *out) {
    for (; body > 0; body = w->parents[body - 1]) {
        int64_t m = body - 1;
        const double *frame = frames + 16 * (body * count + b), *axis = w->axes + 3 * m;
        double turned[3], arm[3];
        for (int r = 0; r < 3; r++) {
            turned[r] = dot(frame + 4 * r, axis);
            arm[r] = point[r] - frame[4 * r + 3];
        }
        double across[3] = {turned[1] * arm[2] - turned[2] * arm[1], turned[2] * arm[0] - turned[0] * arm[2],
                            turned[0] * arm[1] - turned[1] * arm[0]};
        double along = sign * (w->slides[m] ? dot(turned, direction) : dot(across, direction));
        for (int64_t j = 0; j < w->size; j++) out[j] += along * w->spread[m * w->size + j];
    }
}

/* As Clearance.gradient at pose `b`; `point` and `apart` are those of a pair of links, NULL for other bounds. */
void workspace_gradient(const Workspace *w, const double *frames, int64_t count, int64_t b, int64_t which,
                        const double *point, const double *apart, double *out) {
    static const double up[3] = {0.0, 0.0, 1.0};
    memset(out, 0, w->size * sizeof(double));
    if (which < w->tables) {
        int64_t body = w->table_bodies[which];
        const double *frame = frames + 16 * (body * count + b), *shape = w->table_frames + 16 * which;
        double row[3], rounded[3], lowest[3], at[3], local[3];
        for (int c = 0; c < 3; c++) {
            row[c] = frame[8] * shape[c] + frame[9] * shape[4 + c] + frame[10] * shape[8 + c];
            rounded[c] = w->round[3 * which + c] * row[c];
        }
        double length = sqrt(dot(rounded, rounded));
        for (int c = 0; c < 3; c++) {
            double side = row[c] > 0.0 ? 1.0 : row[c] < 0.0 ? -1.0 : 0.0;
            lowest[c] = -(side * w->half[3 * which + c] + (length > 1e-9 ? w->radii[which] / length * rounded[c] : 0.0));
        }
        for (int r = 0; r < 3; r++) local[r] = dot(shape + 4 * r, lowest) + shape[4 * r + 3];
        for (int r = 0; r < 3; r++) at[r] = dot(frame + 4 * r, local) + frame[4 * r + 3];
        add_gradient(w, frames, count, b, body, at, up, 1.0, out);
        return;
    }
    if (which < w->tables + w->faces) {
        int64_t f = which - w->tables;
        const double *frame = frames + 16 * (w->face_bodies[f] * count + b), *local = w->face_points + 4 * f;
        double at[3], direction[3] = {0.0, 0.0, 0.0};
        for (int r = 0; r < 3; r++) at[r] = dot(frame + 4 * r, local) + frame[4 * r + 3] * local[3];
        direction[w->face_axes[f]] = w->face_signs[f];
        add_gradient(w, frames, count, b, w->face_bodies[f], at, direction, 1.0, out);
        return;
    }
    int64_t pair = which - w->tables - w->faces;
    double length = sqrt(dot(apart, apart)), direction[3], other[3];
    for (int a = 0; a < 3; a++) {
        direction[a] = length > 1e-9 ? apart[a] / length : up[a];
        other[a] = point[a] - apart[a];
    }
    add_gradient(w, frames, count, b, w->capsule_bodies[w->pair_one[pair]], point, direction, 1.0, out);
    add_gradient(w, frames, count, b, w->capsule_bodies[w->pair_other[pair]], other, direction, -1.0, out);
}

/* As LinearBound.slowed in slowing.py; `change` is what one period of braking takes from each speed. Returns whether
 * `out` differs from `velocity`. */
int64_t workspace_slow(int64_t n, const double *change, double period, double periods, const double *pose,
                       double distance, const double *gradient, const double *position, const double *velocity,
                       const double *slowest, double aim, const double *weights, double *out) {
    double way[MOST_JOINTS], room[MOST_JOINTS], most[MOST_JOINTS], pull[MOST_JOINTS], made[MOST_JOINTS];
    uint8_t open[MOST_JOINTS];
    double lacking = aim - distance;
    for (int64_t j = 0; j < n; j++) {
        way[j] = moved(velocity[j], change[j], period, periods);
        lacking -= gradient[j] * (position[j] + way[j] - pose[j]);
    }
    if (lacking <= 1e-9) return 0;
    double gain = 0.0;
    for (int64_t j = 0; j < n; j++) {
        room[j] = moved(slowest[j], change[j], period, periods) - way[j];
        double helps = gradient[j] * room[j];
        open[j] = helps > 0.0;
        if (open[j]) gain += helps;
        most[j] = fabs(room[j]);
        pull[j] = fabs(gradient[j]) * weights[j];
        made[j] = 0.0;
    }
    if (gain <= lacking) {
        for (int64_t j = 0; j < n; j++) made[j] = gradient[j] * room[j] > 0.01 * lacking ? room[j] : 0.0;
    } else {
        for (int64_t round = 0; round <= n; round++) {
            double together = 0.0;
            for (int64_t j = 0; j < n; j++)
                if (open[j]) together += fabs(gradient[j]) * pull[j];
            if (together == 0.0) break;
            int over = 0;
            double less = 0.0;
            for (int64_t j = 0; j < n; j++)
                if (open[j] && pull[j] * (lacking / together) >= most[j]) {
                    over = 1;
                    open[j] = 2;
                    less += gradient[j] * room[j];
                }
            for (int64_t j = 0; j < n; j++) {
                if (open[j] == 2) made[j] = room[j];
                else if (open[j] && !over) made[j] = copysign(pull[j] * (lacking / together), room[j]);
                if (open[j] == 2) open[j] = 0;
            }
            if (!over) break;
            lacking -= less;
        }
    }
    for (int64_t j = 0; j < n; j++) {
        if (made[j] == 0.0) {
            out[j] = velocity[j];
            continue;
        }
        double displacement = way[j] + made[j], steps = fabs(displacement) / (change[j] * period);
        double braked = floor((sqrt(1.0 + 8.0 * steps) - 1.0) / 2.0);
        if (braked > periods) braked = periods;
        double less = copysign(change[j] * (steps / (braked + 1.0) + braked / 2.0), displacement);
        double low = fmin(slowest[j], velocity[j]), high = fmax(slowest[j], velocity[j]);
        out[j] = less < low ? low : less > high ? high : less;
    }
    return 1;
}
