# A step.
#
# It has two phases, so that threads can share it and the bits do not depend on their number. First every part takes some rows:
# gather, forward, loss, deltas. Then every part takes some rows of the weights, over all rows of the piece: gradient and
# update. Every number is computed by one part in a fixed order. An op that needs the whole batch interrupts the first phase:
# its moments come in between, of some units in every part.

from cython cimport floating
from libc.math cimport isfinite
from libc.string cimport memcpy, memset

from cbp.kernels cimport gather, losses, optimizers, tile
from cbp.kernels.activations cimport IDENTITY, Size, activate, activate_backward
from cbp.kernels.structs cimport BY_EPOCH, EVALUATE, TRAIN, Op, Run
from cbp.kernels.team cimport TeamState, team_run
from cbp.loops.deferred cimport follow_gradient, take_average
from cbp.ops.calls cimport (
    op_backward_bias,
    op_backward_moments,
    op_backward_rows,
    op_backward_weight,
    op_forward,
    op_listed,
    op_moments,
    op_remember,
    op_silence,
)
from cbp.ops.parts cimport begin_parts, end_parts, in_parts
from cbp.ops.passes cimport (
    ACTIVATION,
    FORWARD,
    GATHER,
    INPUT_GRADIENT,
    LOSS,
    REST,
    SLOPE,
    UPDATE,
    WEIGHT_GRADIENT,
    Laps,
    Pass,
    d_output_of,
    lap,
    output_of,
    slot_of,
    sums_of,
    waits,
)
from cbp.ops.update cimport end_gradient


cdef enum:
    FETCH_FROM = 256        # numbers of a piece whose successor is fetched into the cache: smaller ones come by themselves,
    FETCH_UP_TO = 16384     # larger ones need longer than a step


cdef inline Py_ssize_t share(Py_ssize_t rows, int part, int parts) noexcept nogil:
    """The first row of part number `part`; the tile likes multiples of four."""
    return min(rows, (rows * part // parts + 3) // 4 * 4)


cdef inline bint interrupts(const Pass* batch, Py_ssize_t index) noexcept nogil:
    """Whether an op waits for all rows of the batch before it and after it."""
    return waits(batch, &batch.ops[index])


# --- phase one: every part takes some rows through the network, to the deltas of all layers -----------------------------------

cdef inline void rows_task_float32(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    rows_task(batch, part, parts, member, <float*>batch.arena)

cdef inline void rows_task_float64(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    rows_task(batch, part, parts, member, <double*>batch.arena)


cdef inline void rows_task(Pass* batch, int part, int parts, int member, floating* arena) noexcept nogil:
    """Some rows forward through the ops from `begin` to `end`; after the last op the loss and, where threads share the rows,
    the way back."""
    cdef Py_ssize_t first = share(batch.rows, part, parts)
    cdef Py_ssize_t rows = share(batch.rows, part + 1, parts) - first
    cdef floating* scratch = <floating*>batch.scratch + member * batch.scratch_size
    cdef Laps* laps = batch.laps if member == 0 else NULL
    if rows <= 0:
        return
    if batch.begin == 0 and (batch.end == 0 or not interrupts(batch, 0)):
        collect(batch, first, rows, arena)
        lap(laps, GATHER)
    forward(batch, first, rows, arena, scratch, laps)
    if batch.end < batch.count:
        return
    loss_of_rows(batch, first, rows, arena)
    lap(laps, LOSS)
    if parts > 1 and batch.run.mode != EVALUATE:
        apply_slope(batch, batch.count - 1, first, rows, arena, laps)
        if not interrupts(batch, batch.count - 1):
            rows_back(batch, first, rows, arena, scratch, laps)


cdef inline void back_task_float32(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    back_task(batch, part, parts, member, <float*>batch.arena)

cdef inline void back_task_float64(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    back_task(batch, part, parts, member, <double*>batch.arena)


cdef inline void back_task(Pass* batch, int part, int parts, int member, floating* arena) noexcept nogil:
    """Some rows back through the ops before `end`."""
    cdef Py_ssize_t first = share(batch.rows, part, parts)
    cdef Py_ssize_t rows = share(batch.rows, part + 1, parts) - first
    if rows > 0:
        rows_back(batch, first, rows, arena, <floating*>batch.scratch + member * batch.scratch_size,
                  batch.laps if member == 0 else NULL)


cdef inline void rows_back(
    Pass* batch, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch, Laps* laps,
) noexcept nogil:
    """Some rows back through the ops before `end`, the last of which has the gradient of its weighted sums already, up to that
    of the next one that waits for the others."""
    cdef Py_ssize_t index
    for index in range(batch.end - 1, batch.learns - 1, -1):
        op_backward_rows(batch, &batch.ops[index], first, rows, arena, scratch)
        lap(laps, INPUT_GRADIENT)
        if index > batch.learns:
            apply_slope(batch, index - 1, first, rows, arena, laps)
            if interrupts(batch, index - 1):
                return


cdef inline void moments_task_float32(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    moments_task(batch, part, parts, <float*>batch.arena)

cdef inline void moments_task_float64(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    moments_task(batch, part, parts, <double*>batch.arena)


cdef inline void moments_task(Pass* batch, int part, int parts, floating* arena) noexcept nogil:
    """Moments of the op at `begin` over the whole batch: on the way forward, or on the way back, where `end` is behind it."""
    cdef const Op* op = &batch.ops[batch.begin]
    cdef Py_ssize_t vectors = op.width // 16
    cdef Py_ssize_t first = vectors * part // parts * 16
    cdef Py_ssize_t n = vectors * (part + 1) // parts * 16 - first
    if n > 0 and batch.end > batch.begin:
        op_backward_moments(batch, op, first, n, arena)
    elif n > 0:
        op_moments(batch, op, first, n, arena)


cdef inline void collect(Pass* batch, Py_ssize_t first, Py_ssize_t rows, const floating* like) noexcept nogil:
    """Rows of the piece that do not lie right among the samples: shuffled, converted, or not contiguous."""
    cdef Py_ssize_t sample = batch.first + first
    cdef Py_ssize_t positions = batch.ops[batch.count - 1].positions
    cdef Py_ssize_t r
    if batch.gather_x:
        gather.gather(batch.all_x, batch.order, sample, rows, <floating*>batch.x + first * batch.ldx, batch.ldx)
    if batch.gather_targets:
        gather.gather(batch.all_targets, batch.order, sample, rows, <floating*>batch.targets + first * batch.ldy, batch.ldy)
    if batch.order is NULL:
        return
    if batch.all_labels is not NULL:
        for r in range(rows):
            memcpy(<Py_ssize_t*>batch.labels + (first + r) * positions,
                   batch.all_labels + batch.order[sample + r] * positions, positions * sizeof(Py_ssize_t))
    if batch.all_weights is not NULL:
        for r in range(rows):
            (<floating*>batch.weights)[first + r] = (<const floating*>batch.all_weights)[batch.order[sample + r]]
    if batch.all_lengths is not NULL:
        for r in range(rows):
            (<Py_ssize_t*>batch.lengths)[first + r] = batch.all_lengths[batch.order[sample + r]]


cdef inline void forward(
    const Pass* batch, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch, Laps* laps,
) noexcept nogil:
    """Outputs of the ops from `begin` to `end` into the slots of `rows` rows from row `first` of the piece on; the activation
    of the last op is left to a fused loss."""
    cdef Py_ssize_t index
    cdef const Op* op
    cdef floating* z
    cdef floating* a
    for index in range(batch.begin, batch.end):
        op = &batch.ops[index]
        op_forward(batch, op, first, rows, arena, scratch)
        lap(laps, FORWARD)
        if op.activation != IDENTITY and not (batch.fused and index == batch.count - 1):
            z = sums_of(batch, op, first, arena)
            a = output_of(batch, op, first, arena)
            activate(&batch.activations[op.activation], Size(rows * op.positions, op.units, op.width), z, a)
            lap(laps, ACTIVATION)


cdef inline void forward_whole(Pass* batch, floating* arena, floating* scratch) noexcept nogil:
    """All rows of the piece through all ops."""
    begin_segments(batch)
    forward(batch, 0, batch.rows, arena, scratch, NULL)
    while batch.end < batch.count:
        op_moments(batch, &batch.ops[batch.end], 0, batch.ops[batch.end].width, arena)
        next_segment(batch)
        forward(batch, 0, batch.rows, arena, scratch, NULL)


cdef inline void begin_segments(Pass* batch) noexcept nogil:
    """The ops before the first one that waits: none, if it is the very first."""
    batch.begin = batch.end = 0
    if not interrupts(batch, 0):
        next_segment(batch)


cdef inline void next_segment(Pass* batch) noexcept nogil:
    """The op at `end` and those that come before the next one that waits."""
    batch.begin = batch.end
    batch.end += 1
    while batch.end < batch.count and not interrupts(batch, batch.end):
        batch.end += 1


cdef inline void loss_of_rows(Pass* batch, Py_ssize_t first, Py_ssize_t rows, floating* arena) noexcept nogil:
    """Loss and metric of every position of the outputs, and the gradient of the outputs in the last slot d_output."""
    cdef const Run* run = batch.run
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef Py_ssize_t start = first * last.positions
    cdef const floating* targets = <const floating*>batch.targets
    cdef const floating* weights = <const floating*>batch.weights
    cdef const floating* shares = weights + first if weights is not NULL else NULL
    cdef losses.Rows judged
    cdef Py_ssize_t r
    if last.positions > 1 and (weights is not NULL or batch.lengths is not NULL):
        shares = shares_of_rows(batch, last.positions, first, rows, arena)
    judged.count, judged.units, judged.width, judged.ldy = rows * last.positions, last.units, last.width, last.units
    judged.labels = batch.labels + start if batch.labels is not NULL else NULL
    judged.constant = run.constant
    judged.scale = 1 / (run.batch_weight * last.positions) if run.batch_weight > 0 else 0
    judged.loss, judged.metric = batch.row_loss + start, batch.row_metric + start
    losses.loss_rows(batch.loss, batch.fused, &judged, output_of(batch, last, first, arena),
                     targets + first * batch.ldy if targets is not NULL else NULL, shares,
                     d_output_of(batch, last, first, arena))
    if weights is not NULL:
        for r in range(first, first + rows):
            if weights[r] == 0:
                silence_row(batch, r, arena)


cdef inline Py_ssize_t counted(const Pass* batch, Py_ssize_t r, Py_ssize_t positions) noexcept nogil:
    """How many positions of a row's output count: all, or the steps before its length."""
    return batch.lengths[r] if batch.lengths is not NULL and batch.run.timed else positions


cdef inline const floating* shares_of_rows(
    Pass* batch, Py_ssize_t positions, Py_ssize_t first, Py_ssize_t rows, floating* arena,
) noexcept nogil:
    """The weight of every position of some rows: those that count share the row's, the mean over all positions being that."""
    cdef const floating* weights = <const floating*>batch.weights
    cdef floating* shares = slot_of(batch, batch.run.shares, positions, first, arena)
    cdef floating weight
    cdef Py_ssize_t r, p, length
    for r in range(rows):
        length = counted(batch, first + r, positions)
        weight = weights[first + r] if weights is not NULL else <floating>1
        if length < positions:
            weight *= <floating>(<double>positions / length)
        for p in range(positions):
            shares[r * positions + p] = weight if p < length else <floating>0
    return shares


cdef inline void silence_row(const Pass* batch, Py_ssize_t r, floating* arena) noexcept nogil:
    """Take a row of weight 0 out of the gradient: 0 times an output that overflowed would be NaN."""
    cdef Py_ssize_t index, size
    cdef const Op* op
    for index in range(batch.count):
        op = &batch.ops[index]
        size = op.positions * op.width * sizeof(floating)
        memset(output_of(batch, op, r, arena), 0, size)
        memset(sums_of(batch, op, r, arena), 0, size)
        memset(d_output_of(batch, op, r, arena), 0, size)
        if batch.kinds[op.kind].silence32 is not NULL:
            op_silence(batch, op, r, arena)
        elif op.extra_size > 0:
            memset(slot_of(batch, op.extra, op.extra_size, r, arena), 0, op.extra_size * sizeof(floating))


cdef inline void apply_slope(
    const Pass* batch, Py_ssize_t index, Py_ssize_t first, Py_ssize_t rows, floating* arena, Laps* laps,
) noexcept nogil:
    """From the gradient of an op's output, in its slot d_output, to the gradient of its weighted sums in the same place; after
    a fused loss the last op's is that already."""
    cdef const Op* op = &batch.ops[index]
    if op.activation != IDENTITY and not (batch.fused and index == batch.count - 1):
        activate_backward(&batch.activations[op.activation], Size(rows * op.positions, op.units, op.width),
                          sums_of(batch, op, first, arena), output_of(batch, op, first, arena),
                          d_output_of(batch, op, first, arena))
        lap(laps, SLOPE)


cdef inline void op_back(Pass* batch, Py_ssize_t index, floating* arena, floating* scratch, Laps* laps) noexcept nogil:
    """One op back with all rows of the piece, and the gradients of its parameters."""
    cdef const Op* op = &batch.ops[index]
    apply_slope(batch, index, 0, batch.rows, arena, laps)
    if interrupts(batch, index):
        op_backward_moments(batch, op, 0, op.width, arena)
    op_backward_rows(batch, op, 0, batch.rows, arena, scratch)
    lap(laps, INPUT_GRADIENT)
    backward_weights(batch, index, 0, op.weight_rows, arena, scratch, laps)


# --- phase two: every part takes some rows of the weights, over the whole piece -----------------------------------------------

cdef inline void weights_task_float32(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    weights_task(batch, part, parts, member, <float*>batch.arena)

cdef inline void weights_task_float64(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    weights_task(batch, part, parts, member, <double*>batch.arena)


cdef inline void weights_task(Pass* batch, int part, int parts, int member, floating* arena) noexcept nogil:
    """Gradients of all parameters, and their update; a part is a stretch of all weights laid end to end."""
    cdef floating* scratch = <floating*>batch.scratch + member * batch.scratch_size
    cdef Py_ssize_t total = 0, before = 0
    cdef Py_ssize_t index, first, end
    cdef const Op* op
    for index in range(batch.learns, batch.count):
        total += volume(batch, &batch.ops[index])
    for index in range(batch.learns, batch.count):
        op = &batch.ops[index]
        if op.weight_rows == 0:
            continue
        if op.fixed_weight:
            if part == 0:
                backward_weights(batch, index, 0, 0, arena, scratch, batch.laps if member == 0 else NULL)
            continue
        first = row_at(batch, total * part // parts - before, op)
        end = op.weight_rows if part + 1 == parts else row_at(batch, total * (part + 1) // parts - before, op)
        before += volume(batch, op)
        if first < end:
            backward_weights(batch, index, first, end, arena, scratch, batch.laps if member == 0 else NULL)


cdef inline Py_ssize_t volume(const Pass* batch, const Op* op) noexcept nogil:
    """The length of an op's weights when they are laid end to end: as many numbers as a step touches."""
    cdef Py_ssize_t rows = 0 if op.fixed_weight else op.weight_rows
    if op.sparse and rows > 0:
        rows = max(1, min(rows, batch.rows * op.positions))
    return rows * op.weight_width


cdef inline Py_ssize_t row_at(const Pass* batch, Py_ssize_t offset, const Op* op) noexcept nogil:
    """The row of an op's weights at an offset, at the next whole tile; within the op."""
    cdef Py_ssize_t row = offset // op.weight_width if offset > 0 else 0
    if op.sparse:
        row = <Py_ssize_t>(<double>row * op.weight_width / volume(batch, op) * op.weight_rows)
    row = row // tile.TILE_ROWS * tile.TILE_ROWS
    return row if row < op.weight_rows else op.weight_rows


cdef inline void backward_weights(
    Pass* batch, Py_ssize_t index, Py_ssize_t first, Py_ssize_t end, floating* arena, floating* scratch, Laps* laps,
) noexcept nogil:
    """The gradients of rows `first` to `end` of an op's weights and, with the first, of the bias; with a rule also their
    update.

    The update follows block by block, while the block of the gradient is still in the first-level cache: in a large
    network that saves two of seven passes over arrays as long as the parameters. A batch that comes in pieces is gathered in
    the whole gradient; otherwise the blocks of a thread take one place, one after the other.
    """
    cdef const Op* op = &batch.ops[index]
    cdef bint parts = in_parts(batch, op)
    cdef bint accumulate = parts or batch.run.row > 0
    cdef bint whole = batch.run.row == 0 and batch.updating
    cdef bint penalised = not op.unpenalised
    cdef Py_ssize_t block, most
    cdef Py_ssize_t row = first
    cdef Py_ssize_t n, offset
    cdef floating* gradient = <floating*>batch.gradient
    cdef floating* g
    if op.weight_rows == 0:
        return
    if op.fixed_weight:
        row = end
    elif op.sparse and batch.run.mode == TRAIN:
        op_listed(batch, op, first, end, arena, scratch)
        lap(laps, UPDATE)
        return
    block = end - first
    most = batch.kinds[op.kind].block
    if block * op.weight_width > most > 0:
        block = max(1, most // op.weight_width // tile.TILE_ROWS) * tile.TILE_ROWS
    while row < end:
        n = min(block, end - row)
        offset = op.weight + row * op.weight_width
        g = gradient + (op.weight + first * op.weight_width if whole else offset)
        if parts:
            begin_parts(batch, op, n * op.weight_width, g)
        op_backward_weight(batch, op, row, n, accumulate, arena, scratch, g)
        if parts:
            end_parts(batch, op, n * op.weight_width, g)
        lap(laps, WEIGHT_GRADIENT)
        end_gradient(batch, penalised, n * op.weight_width, offset, g)
        lap(laps, UPDATE)
        row += n
    if first == 0 and op.bias >= 0 and not op.fixed_bias:
        if parts:
            begin_parts(batch, op, op.bias_width, gradient + op.bias)
        op_backward_bias(batch, op, accumulate, arena, scratch, gradient + op.bias)
        if parts:
            end_parts(batch, op, op.bias_width, gradient + op.bias)
        lap(laps, WEIGHT_GRADIENT)
        end_gradient(batch, False, op.bias_width, op.bias, gradient + op.bias)
        lap(laps, UPDATE)


# --- the whole piece ----------------------------------------------------------------------------------------------------------

cdef inline void one_piece(Pass* batch, floating* arena, TeamState* team) noexcept nogil:
    """Forward, loss and (unless evaluating) backward for some rows of a batch, and the update after its last ones.

    A batch whose loss is not finite changes nothing.
    """
    cdef Run* run = batch.run
    cdef Py_ssize_t next_rows = batch.all_rows - batch.first - batch.rows
    cdef Py_ssize_t index
    cdef bint whole
    lap(batch.laps, REST)
    forward_by_all(batch, arena, team)
    add_losses(batch, arena)
    run.diverged = run.mode == TRAIN and not isfinite(run.batch_loss + run.penalty)
    lap(batch.laps, LOSS)
    if run.diverged or run.mode == EVALUATE:
        return
    if next_rows > 0 and FETCH_FROM <= batch.rows * batch.ldx <= FETCH_UP_TO:
        gather.fetch_ahead(batch.all_x, batch.order, batch.first + batch.rows, min(batch.rows, next_rows))
    if run.mode == TRAIN and run.batch_weight > 0:
        for index in range(batch.count):
            if not batch.ops[index].rests:
                op_remember(batch, &batch.ops[index], arena)
    whole = run.mode == TRAIN and run.row + batch.rows == run.batch_rows and run.batch_weight > 0
    batch.updating = whole and not run.deferred
    if whole:
        begin_update(batch)
    if team is not NULL:
        backward_by_all(batch, arena, team)
    else:
        backward_alone(batch, arena)
    if whole and run.deferred:
        follow_gradient(batch, arena, team)
    if whole and batch.average is not NULL:
        take_average(batch, arena, team)
    lap(batch.laps, UPDATE)


cdef inline Py_ssize_t first_to_learn(const Op* ops, Py_ssize_t count) noexcept nogil:
    """The first op whose parameters training changes."""
    cdef Py_ssize_t index
    for index in range(count):
        if ops[index].weight_rows > 0 and not (ops[index].fixed_weight and (ops[index].fixed_bias or ops[index].bias < 0)):
            return index
    return count


cdef inline void begin_update(Pass* batch) noexcept nogil:
    cdef Run* run = batch.run
    if batch.rates is not NULL:
        optimizers.take_rate(&batch.rule, batch.rates[(run.epoch if run.scheduled == BY_EPOCH else run.step) - run.first_rate])
    run.step += 1
    optimizers.begin_step(&batch.rule, <double>run.step)


cdef inline void forward_by_all(Pass* batch, floating* arena, TeamState* team) noexcept nogil:
    """Phase one; its way back too, with a team, up to the first op that waits."""
    begin_segments(batch)
    team_run(team, rows_task_float32 if floating is float else rows_task_float64, batch)
    while batch.end < batch.count:
        batch.begin = batch.end
        team_run(team, moments_task_float32 if floating is float else moments_task_float64, batch)
        next_segment(batch)
        team_run(team, rows_task_float32 if floating is float else rows_task_float64, batch)


cdef inline void backward_by_all(Pass* batch, floating* arena, TeamState* team) noexcept nogil:
    """A team computes the deltas of all ops before any weight changes."""
    cdef Py_ssize_t index
    for index in range(batch.count - 1, batch.learns - 1, -1):
        if interrupts(batch, index):
            batch.begin, batch.end = index, index + 1
            team_run(team, moments_task_float32 if floating is float else moments_task_float64, batch)
            team_run(team, back_task_float32 if floating is float else back_task_float64, batch)
    team_run(team, weights_task_float32 if floating is float else weights_task_float64, batch)


cdef inline void backward_alone(Pass* batch, floating* arena) noexcept nogil:
    """One thread goes back op by op, while the weights are still in its cache (5 % of a step of 784-512-512-10)."""
    cdef floating* scratch = <floating*>batch.scratch
    cdef Py_ssize_t index
    for index in range(batch.count - 1, batch.learns - 1, -1):
        op_back(batch, index, arena, scratch, batch.laps)


cdef inline void add_losses(Pass* batch, const floating* like) noexcept nogil:
    """The rows' losses and metrics to the batch's, in the order of the rows whoever computed them; a row's are means over the
    positions that count. All metrics 1 give the sum of the weights, whose numbers are added in the same order."""
    cdef Run* run = batch.run
    cdef const floating* weights = <const floating*>batch.weights
    cdef Py_ssize_t positions = batch.ops[batch.count - 1].positions
    cdef double weight, loss, metric
    cdef Py_ssize_t r, p, count
    for r in range(batch.rows):
        weight = weights[r] if weights is not NULL else 1
        count = counted(batch, r, positions)
        loss = metric = 0
        for p in range(r * positions, (r + 1) * positions):
            loss += batch.row_loss[p]
            metric += batch.row_metric[p]
        if count > 1:
            loss /= count
            metric /= count
        run.batch_loss += weight * loss
        run.batch_metric += weight * metric
