/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "engine-private.h"

G_BEGIN_DECLS

/* claim.c */

/* Without asking. */
Claim      *claim_take      (Engine *engine, const char *guest, const char *const *disks);
void        claim_hold_for  (Claim *self, Operation *operation);
const char *claim_get_guest (Claim *self);
char      **claim_get_disks (Claim *self);
const char *claim_get_holder (Claim *self);

/* Somebody who holds any of the disks, who does not give way before others. @disk: (out): what of
 * it is wanted; "": all. (nullable) */
Claim      *claim_find      (Engine *engine, const char *guest, const char *const *disks,
                             const char **disk);
gboolean    claim_gives_way (Claim *self);
/* Of those that give way. */
void        claim_call_off  (Engine *engine, const char *guest, const char *const *disks,
                             const char *wanted_by);

/* claim-wait.c: @claim holds less than before, or nothing any more. */
void        claim_given_up  (Engine *engine, Claim *claim);

G_END_DECLS
