# The update that waits for the whole gradient: clipped by its norm, for arrays at rates of their own, or computed by somebody
# else. And the average of the parameters over the steps.
#
# The arrays that change are Segments. Each is cut into blocks, which do not depend on the number of threads: so their sums of
# squares are added in one order, and the bits are the same whoever computed them.

from cython cimport floating
from libc.math cimport sqrt

from cbp.kernels cimport optimizers
from cbp.kernels.optimizers cimport Rule
from cbp.kernels.structs cimport Run, Segment
from cbp.kernels.team cimport TeamState, team_run
from cbp.ops.passes cimport Pass
from cbp.ops.update cimport state_of


cdef enum:
    BLOCK = 4096   # numbers; they stay in the first-level cache


cdef inline Py_ssize_t blocks_of(const Segment* segment) noexcept nogil:
    return (segment.count + BLOCK - 1) // BLOCK


cdef inline Py_ssize_t all_blocks(const Pass* batch) noexcept nogil:
    cdef Py_ssize_t index, count = 0
    for index in range(batch.segment_count):
        count += blocks_of(&batch.segments[index])
    return count


cdef inline void follow_gradient(Pass* batch, const floating* like, TeamState* team) noexcept nogil:
    """The update by the whole gradient, which has the penalties in it."""
    cdef const Run* run = batch.run
    if run.clip_value > 0 or run.clip_array > 0 or run.clip_norm > 0:
        team_run(team, measure_task_float32 if floating is float else measure_task_float64, batch)
    scale_gradients(batch)
    team_run(team, follow_task_float32 if floating is float else follow_task_float64, batch)


# --- the size of a gradient ---------------------------------------------------------------------------------------------------

cdef inline void measure_task_float32(void* context, int part, int parts, int _member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    measure_task(batch, part, parts, <float*>batch.gradient)

cdef inline void measure_task_float64(void* context, int part, int parts, int _member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    measure_task(batch, part, parts, <double*>batch.gradient)


cdef inline void measure_task(Pass* batch, int part, int parts, floating* gradient) noexcept nogil:
    """The sum of the squares in some blocks, whose numbers are clipped before."""
    cdef floating most = <floating>batch.run.clip_value
    cdef Py_ssize_t total = all_blocks(batch), before = 0
    cdef Py_ssize_t first = total * part // parts, end = total * (part + 1) // parts
    cdef Py_ssize_t index, block, n
    cdef const Segment* segment
    cdef floating* g
    for index in range(batch.segment_count):
        segment = &batch.segments[index]
        for block in range(max(first - before, 0), min(end - before, blocks_of(segment))):
            n = min(segment.count - block * BLOCK, BLOCK)
            g = gradient + segment.offset + block * BLOCK
            if most > 0:
                optimizers.clip_each(n, g, most)
            batch.squares[before + block] = sum_of_squares(n, g)
        before += blocks_of(segment)


cdef inline double sum_of_squares(Py_ssize_t n, const floating* g) noexcept nogil:
    """In double, so that squares neither overflow nor vanish; n is a multiple of 16. Of so many lanes that none waits for its
    last addition."""
    cdef double lanes[64]
    cdef Py_ssize_t i, many = n // 64 * 64
    cdef int k
    for k in range(64 if many > 0 else 16):
        lanes[k] = 0
    for i in range(0, many, 64):
        for k in range(64):
            lanes[k] += <double>g[i + k] * <double>g[i + k]
    for i in range(many, n, 16):
        for k in range(16):
            lanes[k] += <double>g[i + k] * <double>g[i + k]
    if many > 0:
        for k in range(32):
            lanes[k] += lanes[k + 32]
        for k in range(16):
            lanes[k] += lanes[k + 16]
    for k in range(8):
        lanes[k] += lanes[k + 8]
    for k in range(4):
        lanes[k] += lanes[k + 4]
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])


cdef inline void scale_gradients(Pass* batch) noexcept nogil:
    """What the gradient of each array is multiplied by, behind the sums of all blocks."""
    cdef const Run* run = batch.run
    cdef double* scales = batch.squares + all_blocks(batch)
    cdef double squares, norm, all_squares = 0
    cdef Py_ssize_t index, block, first = 0
    for index in range(batch.segment_count):
        scales[index] = 1
        if run.clip_array <= 0 and run.clip_norm <= 0:
            continue
        squares = 0
        for block in range(first, first + blocks_of(&batch.segments[index])):
            squares += batch.squares[block]
        first += blocks_of(&batch.segments[index])
        norm = sqrt(squares)
        if run.clip_array > 0 and not norm <= run.clip_array:
            scales[index] = run.clip_array / norm
        all_squares += squares * scales[index] * scales[index]
    norm = sqrt(all_squares)
    if run.clip_norm > 0 and not norm <= run.clip_norm:
        for index in range(batch.segment_count):
            scales[index] *= run.clip_norm / norm


# --- one step along it --------------------------------------------------------------------------------------------------------

cdef inline void follow_task_float32(void* context, int part, int parts, int _member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    follow_task(batch, part, parts, <float*>batch.gradient)

cdef inline void follow_task_float64(void* context, int part, int parts, int _member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    follow_task(batch, part, parts, <double*>batch.gradient)


cdef inline void follow_task(Pass* batch, int part, int parts, floating* gradient) noexcept nogil:
    cdef const double* scales = batch.squares + all_blocks(batch)
    cdef Py_ssize_t total = all_blocks(batch), before = 0
    cdef Py_ssize_t first = total * part // parts, end = total * (part + 1) // parts
    cdef Py_ssize_t index, low, high, start, n, row
    cdef const Segment* segment
    cdef floating* g
    cdef Rule rule
    for index in range(batch.segment_count):
        segment = &batch.segments[index]
        low, high = max(first - before, 0), min(end - before, blocks_of(segment))
        before += blocks_of(segment)
        if low >= high:
            continue
        rule = batch.rule
        rule.rate *= segment.multiplier
        rule.decay *= segment.multiplier
        start = segment.offset + low * BLOCK
        n = min(segment.count, high * BLOCK) - low * BLOCK
        g = gradient + start
        if segment.row == 0:
            follow_scaled(batch, &rule, segment.penalised, n, start, <floating>scales[index], g)
            continue
        start -= segment.offset
        for row in range((start + segment.row - 1) // segment.row, (start + n + segment.row - 1) // segment.row):
            g = gradient + segment.offset + row * segment.row
            if occurs(batch, segment, row, g):
                follow_scaled(batch, &rule, segment.penalised, segment.row, segment.offset + row * segment.row,
                              <floating>scales[index], g)


cdef inline bint occurs(const Pass* batch, const Segment* segment, Py_ssize_t row, const floating* g) noexcept nogil:
    """Whether a row of a sparse table has a mark of this batch, which is cleared; without a batch: whether its gradient is
    not 0."""
    cdef floating* marks = <floating*>batch.workspace + segment.marks
    cdef bint marked
    cdef Py_ssize_t i
    if batch.workspace is not NULL:
        marked = marks[row] != 0
        marks[row] = 0
        return marked
    for i in range(segment.row):
        if g[i] != 0:
            return True
    return False


cdef inline void follow_scaled(
    const Pass* batch, const Rule* rule, bint penalised, Py_ssize_t n, Py_ssize_t start, floating scale, floating* g,
) noexcept nogil:
    if scale != 1:
        multiply(n, g, scale)
    optimizers.follow(rule, penalised, n, <floating*>batch.parameters + start, g, state_of(batch, start, g), batch.size)


cdef inline void multiply(Py_ssize_t n, floating* g, floating factor) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        g[i] *= factor


# --- the average of the parameters --------------------------------------------------------------------------------------------

cdef inline void take_average(Pass* batch, const floating* like, TeamState* team) noexcept nogil:
    """After a step: the average takes the parameters in, where it is time."""
    cdef Run* run = batch.run
    if batch.average is NULL or run.step < run.average_start or (run.step - run.average_start) % run.average_every != 0:
        return
    team_run(team, average_task_float32 if floating is float else average_task_float64, batch)
    run.averaged += 1


cdef inline void average_task_float32(void* context, int part, int parts, int _member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    average_task(batch, part, parts, <float*>batch.average)

cdef inline void average_task_float64(void* context, int part, int parts, int _member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    average_task(batch, part, parts, <double*>batch.average)


cdef inline void average_task(Pass* batch, int part, int parts, floating* average) noexcept nogil:
    """The first average is the parameters themselves."""
    cdef const Run* run = batch.run
    cdef double share = 1 - run.average_memory if run.average_memory > 0 else 1 / (<double>run.averaged + 1)
    cdef floating weight = <floating>(share if run.averaged > 0 else 1)
    cdef const floating* w = <const floating*>batch.parameters
    cdef Py_ssize_t vectors = batch.size // 16
    cdef Py_ssize_t i
    for i in range(vectors * part // parts * 16, vectors * (part + 1) // parts * 16):
        average[i] += weight * (w[i] - average[i])
