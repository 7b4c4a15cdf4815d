/* SPDX-License-Identifier: Apache-2.0 */

/* Knows what the operations work with: configuration, journal, engine, guests, store. */

#include <operations/operations.h>

#include "backup.h"
#include "chain/keeper.h"
#include "chain/mirror.h"
#include "chain/moves.h"
#include "chain/revert.h"
#include "known-disks.h"
#include "prepare-key.h"
#include "room.h"
#include "unwanted-images.h"

struct _Operations
{
  GObject        parent;

  Settings      *settings;
  Journal       *journal;
  Engine        *engine;
  GuestRegistry *guests;
  ImageStore    *store;
  GHashTable    *preparing;     /* see operations_get_preparing() */
  ChainKeeper   *keeper;
  RoomWatch     *room;
  UnwantedImages *unwanted;
};

G_DEFINE_FINAL_TYPE (Operations, operations, G_TYPE_OBJECT)

/* Of <operations/rebuild.h>. */
#define JOURNAL_REBUILT "journal-rebuilt"

static void
operations_dispose (GObject *object)
{
  Operations *self = AGENT_OPERATIONS (object);

  g_clear_pointer (&self->keeper, chain_keeper_free);
  g_clear_pointer (&self->room, room_watch_free);
  g_clear_pointer (&self->unwanted, unwanted_images_free);
  g_clear_object (&self->settings);
  g_clear_object (&self->journal);
  g_clear_object (&self->engine);
  g_clear_object (&self->guests);
  g_clear_object (&self->store);
  g_clear_pointer (&self->preparing, g_hash_table_unref);
  G_OBJECT_CLASS (operations_parent_class)->dispose (object);
}

static void
operations_class_init (OperationsClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = operations_dispose;
  g_signal_new (JOURNAL_REBUILT, TYPE_OPERATIONS, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                G_TYPE_NONE, 0);
}

static void
operations_init (Operations *self)
{
  self->preparing = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                           (GDestroyNotify) g_ptr_array_unref);
}

/**
 * operations_new:
 * @settings: the settings
 * @journal: the journal
 * @engine: the engine, which learns all workflows
 * @guests: the guests
 * @store: where images go
 *
 * Returns: (transfer full): the operations
 */
Operations *
operations_new (Settings *settings, Journal *journal, Engine *engine, GuestRegistry *guests,
                ImageStore *store)
{
  Operations *self = g_object_new (TYPE_OPERATIONS, NULL);

  self->settings = g_object_ref (settings);
  self->journal = g_object_ref (journal);
  self->engine = g_object_ref (engine);
  self->guests = g_object_ref (guests);
  self->store = g_object_ref (store);
  engine_register (engine, &quick_backup_workflow, self);
  engine_register (engine, &full_image_workflow, self);
  engine_register (engine, &chain_commit_workflow, self);
  engine_register (engine, &chain_delete_workflow, self);
  engine_register (engine, &chain_mirror_workflow, self);
  engine_register (engine, &chain_shorten_workflow, self);
  engine_register (engine, &chain_stream_workflow, self);
  engine_register (engine, &restore_workflow, self);
  engine_register (engine, &revert_workflow, self);
  known_disks_watch (self);
  self->keeper = chain_keeper_new (self);
  self->room = room_watch_new (self);
  self->unwanted = unwanted_images_new (self);
  return self;
}

const Config *
operations_get_config (Operations *self)
{
  return settings_get (self->settings);
}

Settings *
operations_get_settings (Operations *self)
{
  return self->settings;
}

Journal *
operations_get_journal (Operations *self)
{
  return self->journal;
}

Engine *
operations_get_engine (Operations *self)
{
  return self->engine;
}

GuestRegistry *
operations_get_guests (Operations *self)
{
  return self->guests;
}

ImageStore *
operations_get_store (Operations *self)
{
  return self->store;
}

/**
 * operations_set_store:
 * @self: the operations
 * @store: another way to the images that the store has had so far
 *
 * What is begun from now on goes there; transfers that run end where they began.
 */
void
operations_set_store (Operations *self, ImageStore *store)
{
  g_set_object (&self->store, store);
}

/* See unwanted-images.h. */
UnwantedImages *
operations_get_unwanted_images (Operations *self)
{
  return self->unwanted;
}

/* See prepare-key.h. */
GHashTable *
operations_get_preparing (Operations *self)
{
  return self->preparing;
}
