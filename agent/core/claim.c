/* SPDX-License-Identifier: Apache-2.0 */

/* Knows who holds which disks: one operation at a time for each; and who holds them only as long as
 * nobody else wants them. */

#include "claim-private.h"

#include <core/error.h>

struct _Claim
{
  GObject       parent_instance;

  Engine       *engine;
  char         *guest;
  char        **disks;          /* (nullable): the whole guest */
  char         *holder;
  Operation    *operation;      /* (nullable), weak: that it is held for */
  GCancellable *called_off;     /* (nullable): before there is one, of a request that gives way */
};

G_DEFINE_FINAL_TYPE (Claim, claim, G_TYPE_OBJECT)

static void
claim_finalize (GObject *object)
{
  Claim *self = AGENT_CLAIM (object);

  if (self->engine != NULL)
    {
      g_ptr_array_remove_fast (self->engine->claims, self);
      claim_given_up (self->engine, self);
    }

  g_clear_weak_pointer (&self->engine);
  g_clear_weak_pointer (&self->operation);
  g_clear_object (&self->called_off);
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

/* @disk: (out): what of it is wanted: a name, "" for all disks; NULL: nothing. */
static gboolean
is_in_the_way (Claim              *self,
               const char         *guest,
               const char *const  *disks,
               const char        **disk)
{
  *disk = g_str_equal (self->guest, guest) ? find_overlap (self->disks, disks) : NULL;

  return *disk != NULL;
}

/* Somebody who holds any of the disks: who does not give way, if there is one. (nullable) */
Claim *
claim_find (Engine             *engine,
            const char         *guest,
            const char *const  *disks,
            const char        **disk)
{
  Claim *found = NULL;

  for (guint i = 0; i < engine->claims->len; i++)
    {
      Claim *claim = g_ptr_array_index (engine->claims, i);
      const char *held;

      if (!is_in_the_way (claim, guest, disks, &held)
          || (found != NULL && claim_gives_way (claim)))
        continue;

      found = claim;
      *disk = held;
    }

  return found;
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
 *   AGENT_ERROR_CONFLICT that names the holder, or AGENT_ERROR_DAMAGED: there is no journal to
 *   write an operation to
 */
Claim *
engine_claim (Engine             *self,
              const char         *guest,
              const char *const  *disks,
              const char         *holder,
              GError            **error)
{
  const GError *damage = journal_get_damage (self->journal);
  const char *disk;
  Claim *claim = claim_find (self, guest, disks, &disk);

  if (damage != NULL)
    {
      g_propagate_error (error, g_error_copy (damage));
      return NULL;
    }

  if (claim != NULL)
    {
      agent_set_error (error, AGENT_ERROR_CONFLICT, "wait until it has finished, or cancel it",
                       "%s%s%sguest '%s' is held by %s", *disk != '\0' ? "disk '" : "", disk,
                       *disk != '\0' ? "' of " : "", guest, claim->holder);
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

  g_set_weak_pointer (&self->engine, engine);
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
  g_set_weak_pointer (&self->operation, operation);
}

/* --- giving way --- */

/**
 * claim_give_way:
 * @self: a claim
 * @called_off: the request that it is for
 *
 * Who else wants the disks gets them: then @called_off is cancelled, and the claim is to be given
 * up soon. Once an operation has the claim, its workflow decides (gives_way).
 */
void
claim_give_way (Claim        *self,
                GCancellable *called_off)
{
  g_set_object (&self->called_off, called_off);
}

gboolean
claim_gives_way (Claim *self)
{
  const Workflow *workflow = self->operation != NULL ? self->operation->workflow : NULL;

  if (self->operation != NULL)
    return workflow != NULL && workflow->gives_way != NULL
           && workflow->gives_way (self->operation);

  return self->called_off != NULL;
}

static void
call_off (Claim      *self,
          const char *wanted_by)
{
  g_autoptr (GError) error = NULL;

  if (self->operation == NULL)
    {
      g_cancellable_cancel (self->called_off);
      return;
    }

  operation_note_wanted (self->operation, wanted_by);

  if (!engine_cancel (self->engine, self->operation, &error))
    g_debug ("%s does not give way: %s", self->holder, error->message);
}

/* Of claims that all give way. */
void
claim_call_off (Engine             *engine,
                const char         *guest,
                const char *const  *disks,
                const char         *wanted_by)
{
  g_autoptr (GPtrArray) claims = g_ptr_array_new_with_free_func (g_object_unref);
  const char *disk;

  for (guint i = 0; i < engine->claims->len; i++)
    {
      Claim *claim = g_ptr_array_index (engine->claims, i);

      if (is_in_the_way (claim, guest, disks, &disk))
        g_ptr_array_add (claims, g_object_ref (claim));
    }

  for (guint i = 0; i < claims->len; i++)
    call_off (g_ptr_array_index (claims, i), wanted_by);
}

/* --- what is claimed --- */

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

  if (self->engine != NULL)
    claim_given_up (self->engine, self);
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

const char *
claim_get_holder (Claim *self)
{
  return self->holder;
}
