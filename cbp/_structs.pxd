# The structs through which Python and the core talk: arrays of Op and Run are NumPy structured arrays on the Python side
# (dtypes OP and RUN of the module), a Source is a bytes object. All fields have eight bytes, so no compiler puts gaps between
# them.

from libc.stdint cimport int64_t, uint64_t


cdef packed struct Op:
    # One layer. Offsets are counted in numbers: weight and bias from the start of the flat parameter vector (bias -1: none),
    # the slots from the start of the arena, for one row: the slot of a batch of r rows starts at r times the offset.
    int64_t kind
    int64_t activation
    int64_t inputs
    int64_t units
    int64_t width          # units padded to a multiple of 16: the row length of weight, output, sums and delta
    int64_t weight
    int64_t bias
    int64_t sums           # weighted sums; the same slot as the output where the derivative does not need them
    int64_t output
    int64_t delta          # gradient of the weighted sums


cdef packed struct Source:
    # A table of numbers in memory that belongs to the user. Strides are in bytes, may be negative or 0, and keep every number
    # aligned.
    uint64_t address
    int64_t kind           # of the numbers: `Kind` in kernels/gather.pxd
    int64_t rows
    int64_t columns
    int64_t row_stride
    int64_t column_stride


cdef packed struct Run:
    # What a pass over the data does ...
    int64_t mode
    int64_t loss
    double delta
    int64_t optimizer
    double rate
    double weight_decay
    double memory1
    double memory2
    double epsilon
    double l1
    double l2
    int64_t batch_size
    int64_t piece          # rows that go through the network at once: a larger batch is taken in pieces
    int64_t targets        # slots of the arena for targets and weights of shuffled rows, counted as in Op
    int64_t weights
    int64_t shuffle
    uint64_t seed
    int64_t first_epoch    # the value of `epoch` that belongs to the first entry of the curves
    # ... and where it stands: with these fields a later call goes on where an earlier one stopped.
    int64_t epoch
    int64_t step
    int64_t position       # rows of the epoch that have been used for complete batches
    int64_t batch_rows     # rows of the current batch
    int64_t row            # rows of the current batch that are already in the gradient
    double batch_weight
    double batch_loss      # of the current batch, not yet divided by its weight
    double epoch_weight
    double epoch_loss
    double epoch_metric
    double penalty         # of l1 and l2, at the beginning of the epoch
    double started         # clock at the beginning of the run
    int64_t diverged
