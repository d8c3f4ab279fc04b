// The training step in float32 on one CPU thread, as one library without dependencies; `library.py` builds and loads it.
#include "kernels.h"

#include "attention.h"
#include "experts.h"
#include "linear.h"
#include "memory.h"
#include "muon.h"
#include "norm.h"
#include "optimizer.h"
