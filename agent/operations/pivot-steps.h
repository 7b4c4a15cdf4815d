/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "pivot.h"

G_BEGIN_DECLS

/* Steps, for STEP_ALWAYS; a set without pivots has nothing to do. Plan and result (of the disk's
 * object in "disks" or "moves": "kept") are brought up to date. No error that a device stays. */
/* Begins the jobs and waits until only what the guest writes meanwhile is left to copy. */
void       pivot_begin      (GTask *step, PivotSet *set);
/* Held: complete, pending, name, finalize. */
void       pivot_move       (GTask *step, PivotSet *set);
/* Held: the CPUs, where a pivot needed them stopped. */
void       pivot_go_on      (GTask *step, PivotSet *set);
/* Takes limits of ours away. */
void       pivot_speed_up   (GTask *step, PivotSet *set);

G_END_DECLS
