/* SPDX-License-Identifier: Apache-2.0 */

/* Knows who holds which disks: one operation at a time for each. */

#include "engine-private.h"

#include <core/error.h>

struct _Claim
{
  GObject   parent_instance;

  Engine   *engine;
  char     *guest;
  char    **disks;              /* (nullable): the whole guest */
  char     *holder;
};

G_DEFINE_FINAL_TYPE (Claim, claim, G_TYPE_OBJECT)

static void
claim_finalize (GObject *object)
{
  Claim *self = AGENT_CLAIM (object);

  if (self->engine != NULL)
    {
      g_ptr_array_remove_fast (self->engine->claims, self);
      g_object_remove_weak_pointer (G_OBJECT (self->engine), (gpointer *) &self->engine);
    }

  g_free (self->guest);
  g_strfreev (self->disks);
  g_free (self->holder);

  G_OBJECT_CLASS (claim_parent_class)->finalize (object);
}

static void
claim_class_init (ClaimClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = claim_finalize;
}

static void
claim_init (Claim *self)
{
}

/* What both hold: a disk's name, "" for all disks of the guest, NULL for nothing. */
static const char *
find_overlap (char              **held,
              const char *const  *wanted)
{
  if ((held != NULL && held[0] == NULL) || (wanted != NULL && wanted[0] == NULL))
    return NULL;

  if (held == NULL || wanted == NULL)
    return held != NULL ? held[0] : wanted != NULL ? wanted[0] : "";

  for (guint i = 0; wanted[i] != NULL; i++)
    {
      if (g_strv_contains ((const char *const *) held, wanted[i]))
        return wanted[i];
    }

  return NULL;
}

/**
 * engine_claim:
 * @self: the engine
 * @guest: a guest's id
 * @disks: (nullable) (array zero-terminated=1): names of its disks; %NULL claims the whole guest
 * @holder: who claims, for the one who comes second
 * @error: return location
 *
 * Claims disks for an operation that is about to be, so that nobody else touches them meanwhile.
 *
 * Returns: (transfer full): the claim, given up with its last reference; %NULL with
 *   AGENT_ERROR_CONFLICT that names the holder
 */
Claim *
engine_claim (Engine             *self,
              const char         *guest,
              const char *const  *disks,
              const char         *holder,
              GError            **error)
{
  Claim *claim;

  for (guint i = 0; i < self->claims->len; i++)
    {
      Claim *other = g_ptr_array_index (self->claims, i);
      const char *disk = NULL;

      if (g_str_equal (other->guest, guest))
        disk = find_overlap (other->disks, disks);

      if (disk == NULL)
        continue;

      agent_set_error (error, AGENT_ERROR_CONFLICT, "wait until it has finished, or cancel it",
                       "%s%s%sguest '%s' is held by %s", *disk != '\0' ? "disk '" : "", disk,
                       *disk != '\0' ? "' of " : "", guest, other->holder);
      return NULL;
    }

  claim = claim_take (self, guest, disks);
  claim->holder = g_strdup (holder);

  return claim;
}

/* Claims without asking: for operations that the journal says hold these disks. */
Claim *
claim_take (Engine            *engine,
            const char        *guest,
            const char *const *disks)
{
  Claim *self = g_object_new (TYPE_CLAIM, NULL);

  self->engine = engine;
  g_object_add_weak_pointer (G_OBJECT (engine), (gpointer *) &self->engine);
  self->guest = g_strdup (guest);
  self->disks = g_strdupv ((char **) disks);
  g_ptr_array_add (engine->claims, self);

  return self;
}

void
claim_hold_for (Claim     *self,
                Operation *operation)
{
  g_free (self->holder);
  self->holder = g_strdup_printf ("operation %s (%s)", operation->id, operation->kind);
}

/**
 * claim_narrow:
 * @self: a claim
 * @disks: (array zero-terminated=1): names of disks
 *
 * Gives up all disks but @disks. What was not claimed before is not claimed now.
 */
void
claim_narrow (Claim             *self,
              const char *const *disks)
{
  g_autoptr (GStrvBuilder) kept = g_strv_builder_new ();

  for (guint i = 0; disks[i] != NULL; i++)
    {
      if (self->disks == NULL || g_strv_contains ((const char *const *) self->disks, disks[i]))
        g_strv_builder_add (kept, disks[i]);
    }

  g_strfreev (self->disks);
  self->disks = g_strv_builder_end (kept);
}

const char *
claim_get_guest (Claim *self)
{
  return self->guest;
}

char **
claim_get_disks (Claim *self)
{
  return self->disks;
}
